// <job-progress src="/progress/TOKEN" label="Import">.
const STATES = {
	queued: ["Waiting", "○"], working: ["Working", "◐"], complete: ["Done", "✓"],
	failed: ["Failed", "✕"], stopped: ["Stopped", "■"],
	lost: ["Reconnecting", "↻"], gone: ["Not available", "✕"], stop: ["Stop"],
};
const SAME = { deferred: "queued", retrying: "working", interrupted: "working" };
// Browsers open six connections to a host, so only three elements stream.
let streams = 0;

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host { display: block; color-scheme: light dark;
	--own: light-dark(#26e, #7af); --color: var(--job-progress-color, var(--own)) }
:host([hidden]), [hidden] { display: none }
:host([state=complete]) { --own: light-dark(#175, #4d8) }
:host(:is([state=failed], [state=gone])) { --own: light-dark(#b11, #faa) }
:host([state=stopped]) { --own: light-dark(#650, #fc1) }
div { display: flex; gap: .5em }
[part=label], [part=message] { flex: 1; overflow-wrap: anywhere }
[part=mark] { color: var(--color) }
[part=bar] { overflow: hidden; forced-color-adjust: none; border-radius: 9px; height: var(--job-progress-height, 8px);
	background: var(--job-progress-track, light-dark(#dde, #345)) }
[part=fill] { background: var(--color); transition: inline-size .2s }
:host([state=working]) :not([aria-valuenow]) > [part=fill] {
	inline-size: 35%; animation: 2s infinite alternate move }
@keyframes move { to { margin-inline-start: 65% } }
@media (prefers-reduced-motion) { [part=fill] { transition: none; animation: none !important } }
`);

class JobProgress extends HTMLElement {
	static observedAttributes = ["src", "label"];
	#abort;
	#done;
	#p = {};

	constructor() {
		super();
		const part = (tag, name, ...children) => {
			const node = (this.#p[name] = document.createElement(tag));
			node.setAttribute("part", name);
			node.append(...children);
			return node;
		};
		const root = this.attachShadow({ mode: "open" });
		root.adoptedStyleSheets = [sheet];
		root.append(
			part("div", "head", ...["label", "mark", "state", "percent"].map((it) => part("span", it))),
			part("div", "bar", part("div", "fill")),
			part("div", "foot", part("span", "message"), part("button", "stop")),
		);
		const { bar, mark, state, stop } = this.#p;
		Object.assign(bar, { role: "progressbar", ariaValueMin: 0, ariaValueMax: 100 });
		// Screen readers announce changes of state, not every step.
		state.role = "status";
		mark.ariaHidden = true;
		Object.assign(stop, { type: "button", hidden: true, onclick: () => this.stop() });
	}

	connectedCallback() {
		document.addEventListener("visibilitychange", this.#restart);
		this.#restart();
	}

	disconnectedCallback() {
		document.removeEventListener("visibilitychange", this.#restart);
		this.#restart();
	}

	attributeChangedCallback(name, _, value) {
		if (name === "label") {
			this.#p.label.textContent = this.#p.bar.ariaLabel = value;
		} else {
			this.#done = false;
			this.#restart();
		}
	}

	stop() {
		const body = new URLSearchParams({ action: "stop" });
		return fetch(this.getAttribute("src"), { method: "POST", body });
	}

	#restart = () => {
		this.#abort?.abort();
		if (this.#done || document.hidden || !this.isConnected) return;
		this.#abort = new AbortController();
		this.#follow(this.#abort.signal);
	};

	async #follow(signal) {
		for (let failures = 0; !signal.aborted && !this.#done;) {
			const streaming = streams < 3;
			let wait = streaming ? 500 : 2000;
			streams += streaming;
			try {
				await this.#load(signal, streaming);
				failures = 0;
			} catch {
				if (signal.aborted) return;
				this.#enter("lost");
				wait = Math.min(500 * 2 ** failures++, 5000);
			} finally {
				streams -= streaming;
			}
			if (!this.#done) await new Promise((done) => setTimeout(done, wait));
		}
	}

	async #load(outer, streaming) {
		const silence = new AbortController();
		const signal = AbortSignal.any([outer, silence.signal]);
		const Accept = streaming ? "text/event-stream" : "application/json";
		let timer, text = "", part;
		const watch = () => {
			clearTimeout(timer);
			timer = setTimeout(() => silence.abort(), 40000);
		};
		try {
			watch();
			const response = await fetch(this.getAttribute("src"), { headers: { Accept }, signal });
			this.#done = [403, 404].includes(response.status);
			if (this.#done) return this.#enter("gone");
			if (!response.ok) throw response;
			const may = response.headers.get("Allow")?.includes("POST");
			if (!streaming) return this.#show(await response.json(), may);
			const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
			while (!(part = await reader.read()).done) {
				watch();
				const lines = (text + part.value).split("\n");
				text = lines.pop();
				for (const line of lines)
					if (line.startsWith("data: ")) this.#show(JSON.parse(line.slice(6)), may);
			}
		} finally {
			clearTimeout(timer);
		}
	}

	#show(job, may) {
		if (this.#done) return;
		const { bar, fill, message, percent, stop } = this.#p, { ended, status } = job;
		const known = job.total || ended, pct = job.pct_complete;
		percent.textContent = known ? pct + " %" : "";
		bar.ariaValueNow = known ? pct : null;
		fill.style.inlineSize = known ? pct + "%" : "";
		message.textContent = job.message;
		this.#done = ended;
		stop.hidden = !may || ended;
		stop.textContent = this.#text("stop");
		this.#enter(ended && status === "interrupted" ? "failed" : SAME[status] ?? status);
		for (const type of ["progress", "end"].slice(0, 1 + ended))
			this.dispatchEvent(new CustomEvent(type, { detail: job, bubbles: true }));
	}

	#enter(name) {
		const { bar, mark, percent, state, stop } = this.#p, text = this.#text(name);
		this.toggleAttribute("lost", name === "lost");
		if (name !== "lost") this.setAttribute("state", name);
		stop.hidden ||= name === "gone";
		bar.ariaValueText = percent.textContent + " " + text;
		mark.textContent = STATES[name][1];
		if (state.textContent !== text) state.textContent = text;
	}

	#text = (name) => this.getAttribute("text-" + name) ?? STATES[name][0];
}

customElements.get("job-progress") ?? customElements.define("job-progress", JobProgress);
