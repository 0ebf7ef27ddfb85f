// BullMQ, on Redis or on PostgreSQL. Without arguments it is the client (see client.py), with "worker N" a worker.

import { openSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const { createPostgresBackend, createRedisBackend, withBackend } = createRequire(process.env.BENCHMARK_MODULES)("bullmq");

const IO_MILLISECONDS = 10;
const OPTIONS = JSON.parse(process.env.BENCHMARK_OPTIONS);
const onPostgresql = OPTIONS.backend === "postgresql";

function connection() {
    if (onPostgresql) return { connectionString: process.env.DJANGO_JOBS_TEST_DATABASE, migrate: true, max: 60 };
    const url = new URL(process.env.BENCHMARK_REDIS);
    return { host: url.hostname, port: Number(url.port), db: Number(url.pathname.slice(1)), maxRetriesPerRequest: null };
}

const { Queue, Worker } = withBackend(onPostgresql ? createPostgresBackend : createRedisBackend);

function moment() {
    return Number((process.hrtime.bigint() / 1000n) & 0xffffffffn);
}

const entry = Buffer.alloc(8);
let descriptor;

function record(number) {
    descriptor ??= openSync(process.env.BENCHMARK_LEDGER, "a");
    entry.writeUInt32LE(((number << 8) | (process.pid & 0xff)) >>> 0, 0);
    entry.writeUInt32LE(moment(), 4);
    writeSync(descriptor, entry);
}

async function run(job) {
    if (job.name !== "empty") await sleep(IO_MILLISECONDS);
    record(job.data.number);
}

async function work(concurrency) {
    const worker = new Worker("benchmarks", run, { connection: connection(), concurrency });
    worker.on("error", (error) => console.error(error));
    process.on("SIGTERM", async () => {
        await worker.close();
        process.exit(0);
    });
}

async function timed(act) {
    const start = process.hrtime.bigint();
    await act();
    return Number(process.hrtime.bigint() - start) / 1e9;
}

class BullMQ {
    constructor() {
        this.queue = new Queue("benchmarks", { connection: connection() });
    }

    async prepare() {
        await this.queue.waitUntilReady();
    }

    async clear() {
        await this.queue.obliterate({ force: true });
    }

    enqueue({ body, first, count }) {
        return timed(async () => {
            for (let number = first; number < first + count; number++) await this.queue.add(body, { number });
        });
    }

    enqueue_many({ body, first, count, chunk }) {
        return timed(async () => {
            for (let start = first; start < first + count; start += chunk) {
                const size = Math.min(chunk, first + count - start);
                await this.queue.addBulk(
                    Array.from({ length: size }, (_, place) => ({ name: body, data: { number: start + place } })),
                );
            }
        });
    }

    async enqueue_at_pace({ body, first, count, seconds }) {
        const moments = [];
        const begin = performance.now();
        for (let place = 0; place < count; place++) {
            const rest = begin + place * seconds * 1000 - performance.now();
            if (rest > 0) await sleep(rest);
            moments.push(moment());
            await this.queue.add(body, { number: first + place });
        }
        return moments;
    }

    worker({ processes, concurrency }) {
        const command = [process.execPath, fileURLToPath(import.meta.url), "worker", String(concurrency)];
        return Array(processes).fill(command);
    }

    finished() {
        return this.queue.getCompletedCount();
    }
}

async function serve() {
    const peer = new BullMQ();
    for await (const line of createInterface({ input: process.stdin })) {
        const { verb, ...given } = JSON.parse(line);
        let answer;
        try {
            answer = { answer: (await peer[verb](given)) ?? null };
        } catch (error) {
            answer = { error: String(error) };
        }
        process.stdout.write(JSON.stringify(answer) + "\n");
    }
    process.exit(0);
}

await (process.argv[2] === "worker" ? work(Number(process.argv[3])) : serve());
