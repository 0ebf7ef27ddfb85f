"""The bell in Redis or Valkey: on a server of one's own, on a cache's server, or on the embedded one."""

from django_jobs.transports.redis.transport import RedisTransport

__all__ = ["RedisTransport"]
