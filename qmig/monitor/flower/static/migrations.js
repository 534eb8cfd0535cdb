/* The page Migrations: polls the feed every two seconds and draws its data. */

(function () {
    "use strict";

    // Milliseconds between two polls, and without new data before the page says so.
    const POLL_INTERVAL = 2000, STALE_AFTER = 15000;
    const page = document.getElementById("migrations-page");
    const list = document.getElementById("migrations");
    const template = document.getElementById("migration-template");
    const locked = page.dataset.locked;

    // The state of a chunk by its letter in the map.
    const STATES = {w: "waiting", r: "running", t: "retrying", d: "done", f: "failed"};
    // The actions that each state allows.
    const ACTIONS = {
        preparing: ["throttle"],
        running: ["pause", "throttle", "cancel"],
        paused: ["resume", "throttle", "cancel"],
        stopped: ["throttle"]
    };
    // Active migrations come first, unfolded; those that have ended follow, the newest first, folded.
    const ORDER = ["running", "preparing", "paused", "failed", "stopped", "cancelled", "done"];
    const UNFOLDED = ["running", "preparing", "paused", "failed"];

    // What a verification may find.
    const FINDINGS = ["missing", "different", "extra", "rejected", "repaired"];

    // Formatting

    function number(value) {
        return Math.round(value).toLocaleString("en-US");
    }

    function megabytes(bytes) {
        const [size, unit] = bytes >= 1e9 ? [bytes / 1e9, "GB"] : [bytes / 1e6, "MB"];
        return size.toLocaleString("en-US", {minimumFractionDigits: 1, maximumFractionDigits: 1}) + " " + unit;
    }

    function duration(seconds) {
        if (seconds < 60) {
            return seconds.toFixed(seconds < 10 ? 1 : 0) + " s";
        }
        const whole = Math.floor(seconds), hours = Math.floor(whole / 3600);
        const two = (value) => String(value).padStart(2, "0");
        const minutes = Math.floor(whole / 60) % 60;
        return (hours ? hours + ":" + two(minutes) : minutes) + ":" + two(whole % 60);
    }

    function clock(seconds, withDay) {
        const time = new Date(seconds * 1000), two = (value) => String(value).padStart(2, "0");
        const day = withDay ? time.getFullYear() + "-" + two(time.getMonth() + 1) + "-" + two(time.getDate()) + " " : "";
        return day + two(time.getHours()) + ":" + two(time.getMinutes()) + (withDay ? "" : ":" + two(time.getSeconds()));
    }

    function percent(share) {
        return Math.floor(100 * share) + " %";
    }

    // HTML elements

    function element(name, className, ...content) {
        const made = document.createElement(name);
        made.className = className;
        made.append(...content);
        return made;
    }

    function shareBar(share, className) {
        const fill = element("span", "");
        fill.style.width = Math.min(100, 100 * share) + "%";
        return element("span", "share-bar " + className, fill);
    }

    // Actions

    const TEXTS = {
        pause: {
            button: "Pause", style: "btn-primary",
            text: "Workers finish the batches in flight and release their chunks. “Resume” continues from there."
        },
        resume: {button: "Resume", style: "btn-primary", text: "Workers claim its chunks again within a few seconds."},
        throttle: {button: "Set limit", style: "btn-primary", text: "The limit applies from the next batch on."},
        cancel: {
            button: "Cancel the migration", style: "btn-danger",
            text: "The migration ends now. The points that were copied stay in the target, and the target gets its final settings."
        }
    };

    const dialog = {
        element: document.getElementById("migration-dialog"),

        open(action, migration) {
            const texts = TEXTS[action], form = this.element.querySelector("form");
            const submit = form.querySelector("[type=submit]");
            this.url = page.dataset.base + "/" + migration.id + "/" + action;
            form.querySelector(".modal-title").textContent = texts.button + ": " + migration.title;
            form.querySelector("[data-field=text]").textContent = texts.text;
            form.querySelector("[data-field=error]").textContent = "";
            form.querySelector("[data-field=rate]").hidden = action !== "throttle";
            form.elements.max_rate.disabled = action !== "throttle";
            form.elements.max_rate.value = migration.max_rate || "";
            submit.textContent = texts.button;
            submit.className = "btn btn-sm " + texts.style;
            form.onsubmit = (event) => {
                event.preventDefault();
                this.send(form);
            };
            bootstrap.Modal.getOrCreateInstance(this.element).show();
        },

        async send(form) {
            const token = (document.cookie.match(/(?:^|;\s*)_xsrf=([^;]+)/) || [])[1] || "";
            const body = new URLSearchParams(new FormData(form));
            let problem;
            if (body.get("max_rate") === "") {
                body.set("max_rate", "0");
            }
            try {
                const headers = {"X-XSRFToken": decodeURIComponent(token)};
                const answer = await fetch(this.url, {method: "POST", headers, body});
                problem = answer.ok ? null : await answer.text();
            } catch (error) {
                problem = "Flower does not answer: " + error.message;
            }
            form.querySelector("[data-field=error]").textContent = problem || "";
            if (!problem) {
                bootstrap.Modal.getOrCreateInstance(this.element).hide();
                poll();
            }
        }
    };

    // The map of chunks: one cell a chunk, as large as fits

    // Sizes of a cell, in pixels.
    const CELL_SIZES = [18, 14, 12, 10, 8, 6, 5, 4, 3];
    const MAP_HEIGHT = 144;

    class ChunkMap {
        constructor(canvas, choose) {
            this.canvas = canvas;
            this.choose = choose;
            this.letters = "";
            this.chosen = null;
            canvas.addEventListener("click", (event) => this.pick(this.at(event)));
            canvas.addEventListener("mousemove", (event) => {
                const chunk = this.at(event);
                canvas.title = chunk === null ? "" : "chunk " + number(chunk + 1) + ": " + STATES[this.letters[chunk]];
            });
            canvas.addEventListener("keydown", (event) => this.move(event));
        }

        draw(letters) {
            const width = this.canvas.parentElement.clientWidth, count = letters.length;
            if (!width) {
                return;
            }
            const fits = (cell) => Math.ceil(count / Math.floor(width / cell)) * cell <= MAP_HEIGHT;
            const cell = CELL_SIZES.find(fits) || CELL_SIZES[CELL_SIZES.length - 1];
            const columns = Math.floor(width / cell), rows = Math.max(1, Math.ceil(count / columns));
            const scale = window.devicePixelRatio || 1, gap = cell > 4 ? 1 : 0;
            const style = getComputedStyle(page), colours = {};
            Object.entries(STATES).forEach(([letter, state]) => {
                colours[letter] = style.getPropertyValue("--chunk-" + state);
            });
            Object.assign(this, {letters, cell, columns});
            this.canvas.width = columns * cell * scale;
            this.canvas.height = rows * cell * scale;
            this.canvas.style.width = columns * cell + "px";
            this.canvas.style.height = rows * cell + "px";
            const context = this.canvas.getContext("2d");
            context.scale(scale, scale);
            for (let chunk = 0; chunk < count; chunk += 1) {
                const x = (chunk % columns) * cell, y = Math.floor(chunk / columns) * cell;
                context.fillStyle = colours[letters[chunk]];
                context.fillRect(x, y, cell - gap, cell - gap);
            }
            if (this.chosen !== null && this.chosen < count) {
                const x = (this.chosen % columns) * cell, y = Math.floor(this.chosen / columns) * cell;
                context.strokeStyle = style.color;
                context.lineWidth = 1.5;
                context.strokeRect(x + 0.75, y + 0.75, cell - gap - 1.5, cell - gap - 1.5);
            }
        }

        at(event) {
            const column = Math.floor(event.offsetX / this.cell), row = Math.floor(event.offsetY / this.cell);
            const chunk = row * this.columns + column;
            return column < this.columns && chunk < this.letters.length ? chunk : null;
        }

        pick(chunk) {
            if (chunk !== null) {
                this.chosen = chunk;
                this.draw(this.letters);
                this.choose(chunk);
            }
        }

        move(event) {
            const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns}[event.key];
            if (by) {
                event.preventDefault();
                const next = this.chosen === null ? 0 : this.chosen + by;
                this.pick(next >= 0 && next < this.letters.length ? next : null);
            }
        }
    }

    // The plot: points a second over time

    const SVG = "http://www.w3.org/2000/svg";
    const PLOT = {height: 144, top: 8, bottom: 18};

    function shape(name, attributes, text) {
        const made = document.createElementNS(SVG, name);
        Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
        made.textContent = text || "";
        return made;
    }

    /* Rates between samples some seconds apart: workers write the ledger once a second, not with every point. */
    function rates(history) {
        const span = history.length ? history[history.length - 1][0] - history[0][0] : 0;
        const over = Math.max(8, span / 90), found = [];
        let first = 0;
        for (let last = 1; last < history.length; last += 1) {
            while (first < last - 1 && history[last][0] - history[first + 1][0] >= over) {
                first += 1;
            }
            const seconds = history[last][0] - history[first][0];
            if (seconds > 0) {
                found.push([history[last][0], (history[last][1] - history[first][1]) / seconds]);
            }
        }
        return found;
    }

    function ceiling(value) {
        const power = Math.pow(10, Math.floor(Math.log10(Math.max(10, value))));
        return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((top) => top >= value);
    }

    class Plot {
        constructor(svg, hover) {
            this.svg = svg;
            this.hover = hover;
            svg.addEventListener("mousemove", (event) => this.point(event.offsetX));
            svg.addEventListener("mouseleave", () => this.point(null));
        }

        draw(history, nothing) {
            const width = this.svg.clientWidth, series = rates(history);
            if (!width) {
                return;
            }
            this.svg.setAttribute("viewBox", "0 0 " + width + " " + PLOT.height);
            this.svg.replaceChildren();
            if (series.length < 2) {
                this.series = [];
                this.svg.append(shape("text", {x: 0, y: 20}, nothing));
                return;
            }
            const bottom = PLOT.height - PLOT.bottom, from = series[0][0], to = series[series.length - 1][0];
            const most = ceiling(Math.max(...series.map((one) => one[1])));
            const x = (time) => width * (time - from) / (to - from);
            const y = (rate) => bottom - (bottom - PLOT.top) * rate / most;
            const line = series.map(([time, rate]) => x(time).toFixed(1) + "," + y(rate).toFixed(1)).join(" ");
            [0, 0.5, 1].forEach((part) => {
                const at = y(part * most);
                this.svg.append(shape("line", {class: "grid", x1: 0, x2: width, y1: at, y2: at}));
            });
            this.svg.append(
                shape("polygon", {class: "area", points: "0," + bottom + " " + line + " " + width + "," + bottom}),
                shape("polyline", {class: "line", points: line}),
                shape("line", {class: "cursor", y1: PLOT.top, y2: bottom, visibility: "hidden"})
            );
            [0.5, 1].forEach((part) => {
                this.svg.append(shape("text", {x: 2, y: y(part * most) + 12}, number(part * most)));
            });
            this.svg.append(
                shape("text", {x: 0, y: PLOT.height - 4}, clock(from)),
                shape("text", {x: width, y: PLOT.height - 4, "text-anchor": "end"}, clock(to))
            );
            Object.assign(this, {series, x, width});
            this.point(this.pointed);
        }

        /* Show the rate under the pointer, `left` pixels from the edge. */
        point(left) {
            const cursor = this.svg.querySelector(".cursor");
            this.pointed = left;
            this.hover.textContent = "";
            if (!cursor) {
                return;
            }
            cursor.setAttribute("visibility", left == null ? "hidden" : "visible");
            if (left != null) {
                const distance = (one) => Math.abs(this.x(one[0]) - left);
                const near = this.series.reduce((best, one) => distance(one) < distance(best) ? one : best);
                cursor.setAttribute("x1", this.x(near[0]));
                cursor.setAttribute("x2", this.x(near[0]));
                this.hover.textContent = number(near[1]) + " at " + clock(near[0]);
            }
        }
    }

    // One migration

    class Card {
        constructor() {
            this.root = template.content.firstElementChild.cloneNode(true);
            this.more = this.root.querySelector("details");
            this.map = new ChunkMap(this.root.querySelector("canvas"), (chunk) => this.openChunk(chunk));
            this.plot = new Plot(this.root.querySelector("svg"), this.field("hover"));
            this.more.addEventListener("toggle", () => this.drawPictures());
            this.root.querySelectorAll("[data-action]").forEach((button) => {
                button.addEventListener("click", () => dialog.open(button.dataset.action, this.migration));
                button.disabled = Boolean(locked);
                button.title = locked || "";
            });
        }

        field(name) {
            return this.root.querySelector("[data-field=" + name + "]");
        }

        set(name, ...content) {
            this.field(name).replaceChildren(...content);
        }

        update(migration) {
            if (!this.migration) {
                this.more.open = UNFOLDED.includes(migration.state);
            }
            this.migration = migration;
            this.root.dataset.state = migration.state;
            this.root.dataset.migration = migration.id;
            this.updateHead(migration);
            this.updateFigures(migration);
            this.updateProblems(migration);
            this.updateWorkers(migration);
            this.updateLists(migration);
            this.drawPictures();
            if (this.map.chosen !== null) {
                this.openChunk(this.map.chosen);
            }
        }

        updateHead(migration) {
            const endpoint = (one) => one.collection + " at " + one.url;
            const actions = ACTIONS[migration.state] || [];
            this.set("title", migration.title);
            this.set("state", migration.state);
            this.set("limit", migration.max_rate && !migration.finished ? "limited to " + number(migration.max_rate) + " points/s" : "");
            this.set("endpoints", endpoint(migration.source) + " → " + endpoint(migration.target) + " · " + migration.id);
            this.root.querySelectorAll("[data-action]").forEach((button) => {
                button.hidden = !actions.includes(button.dataset.action);
            });
            this.root.querySelector(".progress").setAttribute("aria-valuenow", Math.floor(100 * migration.share));
            this.root.querySelector(".progress-bar").style.width = 100 * migration.share + "%";
            this.set("percent", percent(migration.share));
        }

        updateFigures(migration) {
            const small = (text) => element("small", "", text);
            const rate = migration.points_per_second, ended = migration.finished !== null;
            this.set("points", number(migration.points) + " ", small("of " + number(migration.expected_points)));
            if (rate === null) {
                this.set("rate", "–");
            } else {
                this.set("rate", number(rate) + "/s ", small(megabytes(migration.bytes_per_second) + "/s"));
            }
            this.set("left-name", ended ? "Took" : "Left");
            if (ended) {
                this.set("left", duration(migration.finished - migration.started));
            } else {
                this.set("left", migration.eta_seconds === null ? "–" : duration(migration.eta_seconds));
            }
            this.set("bytes", megabytes(migration.bytes));
            this.set("retries", number(migration.retries));
            this.set("started", clock(migration.started, true));
        }

        updateProblems(migration) {
            const failed = [migration.error, migration.problem].filter(Boolean).map((text) => element("li", "", text));
            if (migration.verdict) {
                const complete = migration.verdict.outcome === "complete";
                failed.push(element("li", complete ? "is-good" : "is-waiting", migration.verdict.headline));
                if (!migration.error) {
                    failed.push(...migration.verdict.exceptions.map((text) => element("li", "is-waiting", text)));
                }
            }
            if (migration.rejected_points && !migration.verdict) {
                const text = number(migration.rejected_points) + " points could not be copied; list them with: qmig rejects " + migration.id;
                failed.push(element("li", "is-waiting", text));
            }
            if (migration.findings) {
                const found = FINDINGS.filter((kind) => migration.findings[kind])
                    .map((kind) => number(migration.findings[kind]) + " " + kind).join(", ");
                failed.push(element("li", found ? "" : "is-good", "found: " + (found || "all of them equal")));
            }
            const waiting = migration.waiting ? [element("li", "is-waiting", "waiting: " + migration.waiting)] : [];
            if (migration.compared_ids !== null) {
                waiting.push(element("li", "is-waiting", "comparing ids: " + number(migration.compared_ids) + " so far"));
            }
            this.set("problems", ...failed, ...waiting);
        }

        updateWorkers(migration) {
            const rows = migration.workers.map(({host, process, points_per_second: rate, share, chunk}) => {
                const done = chunk.expected_points ? chunk.points / chunk.expected_points : 0;
                const row = element("tr", "",
                    element("td", "", host + "/" + process),
                    element("td", "number", this.chunkLink(chunk.index)),
                    element("td", "wide-only", shareBar(done, "is-" + chunk.state), number(chunk.points)),
                    element("td", "number", rate === null ? "–" : number(rate)),
                    element("td", "", ...(share === null ? ["–"] : [shareBar(share, ""), percent(share)])));
                row.title = chunk.waiting || "";
                return row;
            });
            this.root.querySelector("tbody").replaceChildren(...rows);
            this.root.querySelector(".migration-workers").hidden = !rows.length;
            this.set("workers", rows.length ? number(rows.length) : "");
        }

        updateLists(migration) {
            const linked = (chunk, text) => [this.chunkLink(chunk.index), " " + text];
            const slow = (chunk) => linked(chunk, duration(chunk.seconds) + ", " + number(chunk.points) + " points");
            this.fill("waiting", migration.waiting_chunks.map((one) => [
                number(one.chunks) + " chunks: " + one.reason + (one.seconds === null ? "" : ", for " + duration(one.seconds)),
            ]));
            this.fill("reasons", Object.entries(migration.retry_reasons).map(([why, count]) => [number(count) + " " + why]));
            this.fill("slowest", migration.slowest_chunks.map(slow));
            this.fill("failed", migration.failed_chunks.slice(0, 50).map((chunk) => linked(chunk, chunk.error)));
        }

        fill(name, lines) {
            const section = this.root.querySelector("[data-list=" + name + "]");
            section.hidden = !lines.length;
            section.querySelector("ul").replaceChildren(...lines.map((line) => element("li", "", ...line)));
        }

        chunkLink(chunk) {
            const button = element("button", "link", number(chunk + 1));
            button.type = "button";
            button.addEventListener("click", () => this.map.pick(chunk));
            return button;
        }

        drawPictures() {
            if (!this.more.open) {
                return;
            }
            const letters = this.migration.chunk_map, counts = {};
            for (const letter of letters) {
                counts[letter] = (counts[letter] || 0) + 1;
            }
            const legend = Object.keys(STATES).filter((letter) => counts[letter]).map((letter) => {
                const mark = element("i", "");
                mark.style.background = "var(--chunk-" + STATES[letter] + ")";
                return element("span", "", mark, number(counts[letter]) + " " + STATES[letter]);
            });
            this.set("legend", ...(legend.length ? legend : ["not planned yet"]));
            this.map.canvas.setAttribute("aria-label", this.field("legend").textContent);
            this.map.draw(letters);
            const ended = this.migration.finished !== null;
            this.plot.draw(this.migration.history, ended ? "not recorded by this Flower" : "no rate yet");
        }

        /* Show a chunk below the map, again with each poll, until it is closed or another one is chosen. */
        async openChunk(chunk) {
            let text;
            try {
                const answer = await fetch(page.dataset.base + "/" + this.migration.id + "/chunks/" + chunk);
                text = answer.ok ? await answer.text() : JSON.stringify({title: await answer.text()});
            } catch (error) {
                text = JSON.stringify({title: "Flower does not answer: " + error.message});
            }
            // Drawn again only where it has changed: a link that is replaced in the middle of a click does nothing.
            if (this.map.chosen === chunk && this.shown !== text) {
                this.shown = text;
                this.showChunk(this.field("chunk"), JSON.parse(text));
            }
        }

        showChunk(panel, chunk) {
            const lines = [element("strong", "", chunk.title)], close = element("button", "btn-close");
            if (chunk.state) {
                const worker = chunk.host ? " · " + chunk.host + "/" + chunk.process : "";
                lines.push(chunk.state + " · " + number(chunk.points) + " of ~" + number(chunk.expected_points) +
                    " points · " + megabytes(chunk.bytes) + " · " + chunk.seconds.toFixed(1) + " s" + worker);
                lines.push("claimed by workers: " + number(chunk.claims) + " · retries: " + number(chunk.retries));
            }
            lines.push(...[chunk.waiting, chunk.error].filter(Boolean));
            if (chunk.task) {
                const link = element("a", "", "Task " + chunk.task);
                link.href = page.dataset.task + chunk.task;
                lines.push(link);
            } else if (chunk.state) {
                lines.push("Flower knows no task of this chunk.");
            }
            close.type = "button";
            close.setAttribute("aria-label", "Close");
            close.addEventListener("click", () => {
                panel.hidden = true;
                this.map.chosen = this.shown = null;
                this.drawPictures();
            });
            panel.replaceChildren(close, ...lines.map((line) => element("p", "", line)));
            panel.hidden = false;
        }
    }

    // The page

    const cards = new Map();
    // When the feed last read the ledger, by its clock, and when that was noticed here, by this clock.
    const lastRead = {time: null, noticed: 0};

    function update(data) {
        const rank = (one) => ORDER.indexOf(one.state);
        const sorted = data.migrations.slice().sort((a, b) => rank(a) - rank(b) || b.started - a.started);
        const removed = new Set(cards.keys());
        sorted.forEach((migration) => {
            removed.delete(migration.id);
            if (!cards.has(migration.id)) {
                cards.set(migration.id, new Card());
            }
        });
        removed.forEach((id) => {
            cards.get(id).root.remove();
            cards.delete(id);
        });
        // Moved only where the order has changed: a card that is moved loses the pointer and the focus.
        sorted.forEach((migration, place) => {
            const root = cards.get(migration.id).root;
            if (list.children[place] !== root) {
                list.insertBefore(root, list.children[place] || null);
            }
            cards.get(migration.id).update(migration);
        });
        const malformed = data.malformed.map((text) => element("li", "", text));
        document.getElementById("migrations-malformed").replaceChildren(...malformed);
        document.getElementById("migrations-empty").hidden = Boolean(sorted.length || malformed.length || data.problem);
    }

    function showStatus(text, good) {
        document.getElementById("migrations-status").textContent = text;
        document.getElementById("migrations-dot").className = "status-dot status-dot-" + (good ? "live" : "error");
    }

    async function poll() {
        try {
            const answer = await fetch(page.dataset.base + "/data");
            if (!answer.ok) {
                throw new Error("status " + answer.status);
            }
            const data = await answer.json();
            update(data);
            if (data.time !== lastRead.time) {
                Object.assign(lastRead, {time: data.time, noticed: performance.now()});
            }
            const stale = performance.now() - lastRead.noticed > STALE_AFTER ? "no new data since " + clock(data.time) : null;
            showStatus(data.problem || stale || "Live", !data.problem && !stale);
        } catch (error) {
            showStatus("Flower does not answer: " + error.message, false);
        }
    }

    async function pollRepeatedly() {
        if (!document.hidden) {
            await poll();
        }
        window.setTimeout(pollRepeatedly, POLL_INTERVAL);
    }

    function redraw() {
        cards.forEach((card) => card.drawPictures());
    }

    window.addEventListener("resize", redraw);
    document.addEventListener("visibilitychange", () => !document.hidden && poll());
    new MutationObserver(redraw).observe(document.documentElement, {attributeFilter: ["data-bs-theme"]});
    pollRepeatedly();
}());
