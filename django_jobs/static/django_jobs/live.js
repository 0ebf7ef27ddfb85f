"use strict";
// Asks for a part of the page again and again, as long as the part says where from. Without this, reload the page.
{
    const PAUSE = 2000;

    // What has not changed is left alone: it may be selected, scrolled, or being read aloud.
    const renew = (part, fresh) => {
        for (const name of [".jobs-progress", ".jobs-said"]) {
            const [old, renewed] = [part.querySelector(name), fresh.querySelector(name)];
            if (!old.isEqualNode(renewed)) {
                old.replaceChildren(...renewed.childNodes);
            }
        }
    };

    const refresh = async (part) => {
        if (!document.hidden) {
            const response = await fetch(part.dataset.live).catch(() => null);
            if (response && (!response.ok || response.redirected)) {
                return; // logged out, or the job is gone: what is shown stays
            }
            if (response) {
                const fresh = new DOMParser()
                    .parseFromString(await response.text(), "text/html")
                    .querySelector(".jobs-report");
                if (!fresh || !fresh.dataset.live) {
                    window.location.reload(); // it has ended: the whole page tells more
                    return;
                }
                renew(part, fresh);
            }
        }
        window.setTimeout(refresh, PAUSE, part);
    };

    for (const part of document.querySelectorAll("[data-live]")) {
        window.setTimeout(refresh, PAUSE, part);
    }
}
