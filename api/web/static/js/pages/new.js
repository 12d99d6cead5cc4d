// The form of a new training, made from the contracts of the model types.
import { errorPanel } from "../shell.js";
import { html, live, nothing } from "../lib.js";
import { BASE, parameters, setParameters } from "../address.js";
import { View, mount } from "../element.js";
import { all, change, get, Problem } from "../api.js";
import { titleOf } from "../format.js";

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** The bounds of a property in words: "1 to 4,096". */
function bounds(schema) {
  const [low, high] = [schema.minimum ?? schema.exclusiveMinimum, schema.maximum ?? schema.exclusiveMaximum];
  if (low == null && high == null) return "";
  const text = (value) => value.toLocaleString("en");
  if (low == null) return `at most ${text(high)}`;
  return `${schema.exclusiveMinimum != null ? "above " : ""}${text(low)} to ${schema.exclusiveMaximum != null ? "below " : ""}${text(high)}`;
}

/** The schema of a property without the branch for null. */
const core = (schema) => schema.anyOf?.find((branch) => branch.type !== "null") ?? schema;
const nullable = (schema) => Boolean(schema.anyOf?.some((branch) => branch.type === "null"));

/** The value that a field's text stands for. Throws a sentence. */
export function parse(text, schema) {
  const { type } = core(schema);
  const trimmed = text.trim();
  if (trimmed === "" && nullable(schema)) return null;
  if (type === "integer" || type === "number") {
    const value = Number(trimmed.replaceAll(",", ""));
    if (trimmed === "" || !Number.isFinite(value)) throw new Error("Give a number.");
    if (type === "integer" && !Number.isInteger(value)) throw new Error("Give a whole number.");
    return value;
  }
  if (type === "array") {
    const parts = trimmed.replace(/^\[|\]$/g, "").split(/[\s,]+/).filter(Boolean);
    const values = parts.map(Number);
    if (values.some((value) => !Number.isFinite(value))) throw new Error("Give numbers, separated by commas.");
    return values;
  }
  return trimmed;
}

const shown = (value) => (value == null ? "" : Array.isArray(value) ? value.join(", ") : String(value));

class NewJob extends View {
  types = null;
  request = { model_type: "", dataset: "", preset: "fast", name: "", seed: "", priority: "normal", init_from: "" };
  changed = {}; // hyperparameters that differ from the preset
  texts = {}; // what was typed into a field that does not parse
  errors = {}; // by pointer
  before = null; // the job that this one starts from
  failure = null;
  sending = false;

  async start() {
    try {
      const [types, datasets, models] = await Promise.all([get("/v1/model-types"), all("/v1/datasets"), all("/v1/models?limit=100", 500)]);
      Object.assign(this, { types: types.data, datasets, models });
      const query = parameters();
      if (query.get("from")) await this.copy(query.get("from"));
      else this.pick(query.get("type") ?? this.types[0].name);
    } catch (error) {
      this.failure = error;
    }
    this.update();
  }

  async copy(id) {
    const job = await get(`/v1/training-jobs/${id}`);
    this.before = job;
    Object.assign(this.request, { model_type: job.model_type, dataset: job.dataset, preset: job.preset, name: job.name ?? "", init_from: job.init_from ?? "" });
    const preset = this.preset();
    this.changed = Object.fromEntries(Object.entries(job.hyperparameters).filter(([name, value]) => !same(value, preset[name])));
  }

  type() {
    return this.types.find((type) => type.name === this.request.model_type);
  }

  preset() {
    return this.type().presets.find((preset) => preset.name === this.request.preset)?.hyperparameters ?? {};
  }

  pick(name) {
    const type = this.types.find((each) => each.name === name) ?? this.types[0];
    Object.assign(this.request, { model_type: type.name, dataset: type.default_dataset, preset: "fast", init_from: "" });
    this.changed = {};
    this.errors = {};
    setParameters({ type: type.name, from: "" });
    this.update();
  }

  set(name, value) {
    this.request = { ...this.request, [name]: value };
    delete this.errors[`/${name}`];
    if (name === "preset") this.changed = {};
    this.update();
  }

  edit(name, text) {
    const pointer = `/hyperparameters/${name}`;
    const schema = this.type().hyperparameters_schema.properties[name];
    this.texts[name] = text;
    try {
      const value = parse(text, schema);
      delete this.errors[pointer];
      delete this.texts[name];
      if (same(value, this.preset()[name])) delete this.changed[name];
      else this.changed[name] = value;
    } catch (error) {
      this.errors[pointer] = error.message;
    }
    this.update();
  }

  reset(name) {
    delete this.changed[name];
    delete this.texts[name];
    delete this.errors[`/hyperparameters/${name}`];
    this.update();
  }

  body() {
    const { model_type, dataset, preset, name, seed, priority, init_from } = this.request;
    return { model_type, dataset, preset, priority, hyperparameters: this.changed, ...(name && { name }), ...(seed !== "" && { seed: Number(seed) }), ...(init_from && { init_from }) };
  }

  async submit(event) {
    event.preventDefault();
    if (Object.keys(this.errors).length) return this.focusError();
    this.sending = true;
    this.failure = null;
    this.update();
    try {
      const job = await change("POST", "/v1/training-jobs", this.body(), { headers: { "Idempotency-Key": (this.key ??= crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`) } });
      location.assign(`${BASE}/jobs/${job.id}`);
    } catch (error) {
      this.sending = false;
      this.key = null;
      if (error instanceof Problem && error.errors.length) this.errors = Object.fromEntries(error.errors.map((each) => [each.pointer, each.detail]));
      else this.failure = error;
      this.update();
      queueMicrotask(() => this.focusError());
    }
  }

  focusError() {
    const first = this.querySelector('[aria-invalid="true"]');
    first?.closest("details")?.setAttribute("open", "");
    first?.focus();
  }

  field(name, label, control, help = "") {
    const error = this.errors[`/${name}`] ?? Object.entries(this.errors).find(([pointer]) => pointer.startsWith(`/${name}/`))?.[1];
    return html`<div class="field" data-field=${name}><label for=${name}>${label}</label>${control(error)}<p class=${error ? "error" : "muted help"} id="${name}-help">${error ?? help}</p></div>`;
  }

  view() {
    if (!this.types) return this.failure ? errorPanel(this.failure) : html`<div class="empty">Reading the model types …</div>`;
    const type = this.type(), { request } = this;
    const fitting = this.datasets.filter((dataset) => dataset.kind === type.data_kind && (!type.needs_labels || dataset.classes));
    const select = (name, options) => (error) => html`<select id=${name} name=${name} aria-invalid=${Boolean(error)} aria-describedby="${name}-help" @change=${(event) => this.set(name, event.target.value)}>${options.map(([value, text]) => html`<option value=${value} ?selected=${value === request[name]}>${text}</option>`)}</select>`;
    const input = (name, kind = "text", placeholder = "") => (error) => html`<input id=${name} name=${name} type=${kind} placeholder=${placeholder} aria-invalid=${Boolean(error)} aria-describedby="${name}-help" .value=${live(String(request[name]))} @input=${(event) => this.set(name, event.target.value)}>`;
    const dataset = this.datasets.find((each) => each.name === request.dataset);
    const others = Object.keys(this.errors).filter((pointer) => !pointer.startsWith("/hyperparameters/") && !this.querySelector?.(`[data-field="${pointer.slice(1)}"]`) && !(pointer.slice(1) in request));
    return html`<form @submit=${(event) => this.submit(event)} novalidate>
      <div class="bar"><h1>${this.before ? `Train again: ${titleOf(this.before)}` : "New training"}</h1><button class="primary" ?disabled=${this.sending}>${this.sending ? "Sending …" : "Train"}</button></div>
      ${this.failure ? errorPanel(this.failure) : nothing}
      ${others.length ? html`<div class="notice bad" role="alert">${others.map((pointer) => html`<p><code>${pointer}</code> ${this.errors[pointer]}</p>`)}</div>` : nothing}
      ${this.before ? this.difference() : nothing}
      <div class="side"><div class="panel">
        <fieldset class="choice"><legend>Model type</legend>${this.types.map((each) => html`<label><input type="radio" name="model_type" value=${each.name} .checked=${live(each.name === type.name)} @change=${() => this.pick(each.name)}> <span><strong>${each.title}</strong><br><span class="muted">${each.summary}</span></span></label>`)}</fieldset>
      </div><div class="panel fields">
        ${this.field("dataset", "Dataset", select("dataset", fitting.map((each) => [each.name, `${each.name}${each.availability === "downloadable" ? " (is downloaded first)" : each.availability === "missing" ? " (not here)" : ""}`])), dataset?.detail ?? dataset?.title ?? "")}
        ${this.field("preset", "Preset", select("preset", type.presets.map((each) => [each.name, each.name])), "fast: ours. book: the published settings.")}
        ${this.field("name", "Name", input("name", "text", "optional"))}
        ${this.field("init_from", "Continue from", select("init_from", [["", "new weights"], ...this.models.filter((model) => model.model_type === type.name).map((model) => [model.id, `${model.name ?? model.dataset} (${model.id.slice(0, 10)}…)`])]), "Starts with the weights of a model.")}
        ${this.field("priority", "Priority", select("priority", [["low", "low"], ["normal", "normal"], ["high", "high"]]))}
        ${this.field("seed", "Seed", input("seed", "number", "drawn"), "The same seed gives the same model on the same machine.")}
      </div></div>
      <section class="panel"><div class="bar"><h2>Hyperparameters</h2><span class="muted">${Object.keys(this.changed).length} changed from <strong>${request.preset}</strong></span>${Object.keys(this.changed).length ? html`<button type="button" @click=${() => ((this.changed = {}), (this.texts = {}), (this.errors = {}), this.update())}>Reset all</button>` : nothing}</div>
        <div class="grid">${Object.entries(type.hyperparameters_schema.properties).map(([name, schema]) => this.hyperparameter(name, schema))}</div></section>
      <section class="panel"><h2>As command</h2><pre>${this.command()}</pre></section>
    </form>`;
  }

  hyperparameter(name, schema) {
    const pointer = `/hyperparameters/${name}`;
    const error = this.errors[pointer] ?? Object.entries(this.errors).find(([each]) => each.startsWith(`${pointer}/`))?.[1];
    const isChanged = name in this.changed;
    const value = this.texts[name] ?? shown(isChanged ? this.changed[name] : this.preset()[name]);
    const choices = core(schema).enum;
    const id = `hp-${name}`;
    const attributes = { invalid: Boolean(error), help: `${id}-help` };
    const control = choices
      ? html`<select id=${id} aria-invalid=${attributes.invalid} aria-describedby=${attributes.help} @change=${(event) => this.edit(name, event.target.value)}>${choices.map((choice) => html`<option ?selected=${String(choice) === value}>${choice}</option>`)}</select>`
      : html`<input id=${id} aria-invalid=${attributes.invalid} aria-describedby=${attributes.help} inputmode=${core(schema).type === "array" ? "text" : "decimal"} placeholder=${nullable(schema) ? "none" : ""} .value=${live(value)} @input=${(event) => this.edit(name, event.target.value)}>`;
    return html`<div class="field ${isChanged ? "changed" : ""}" data-field=${name}><label for=${id}>${name}${isChanged ? html` <span class="mark">changed</span> <button type="button" class="quiet reset" @click=${() => this.reset(name)} aria-label="Reset ${name}">↺</button>` : nothing}</label>${control}
      <p class=${error ? "error" : "muted help"} id=${attributes.help}>${error ?? html`${schema.description ?? ""} <span class="bounds">${bounds(core(schema))}</span>`}</p></div>`;
  }

  difference() {
    const after = { ...this.preset(), ...this.changed }, before = this.before.hyperparameters;
    const names = Object.keys(after).filter((name) => !same(after[name], before[name]));
    const others = ["dataset", "preset"].filter((name) => this.request[name] !== this.before[name]);
    const rows = [...others.map((name) => [name, this.before[name], this.request[name]]), ...names.map((name) => [name, before[name], after[name]])];
    return html`<div class="panel difference"><h2>Difference from ${titleOf(this.before)}</h2>${rows.length ? html`<dl class="facts">${rows.map(([name, old, now]) => html`<dt data-key=${name}>${name}</dt><dd><del>${JSON.stringify(old)}</del> → <strong>${JSON.stringify(now)}</strong></dd>`)}</dl>` : html`<p class="muted">None yet: this repeats the job with another seed.</p>`}</div>`;
  }

  command() {
    const body = this.body();
    const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
    const options = Object.entries(body.hyperparameters).map(([name, value]) => ` \\\n  --${name.replaceAll("_", "-")} ${quoted(Array.isArray(value) ? value.join(",") : value ?? "null")}`).join("");
    const json = JSON.stringify(body);
    return `mimeo train ${body.model_type} --dataset ${body.dataset} --preset ${body.preset}${options}\n\ncurl -X POST ${location.origin}${BASE}/v1/training-jobs \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(json)}`;
  }
}
customElements.define("m-new", NewJob);
mount("m-new");
