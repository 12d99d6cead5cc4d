// Three exercises: a click starts a pair of small trainings that differ in one thing, and opens their comparison.
import { errorPanel } from "./shell.js";
import { html, nothing } from "./lib.js";
import { BASE } from "./address.js";
import { View } from "./element.js";
import { all, change, get } from "./api.js";
import { usualDataset } from "./dataset-words.js";

const HERE = ["builtin", "present"]; // on this machine
const CODE = "python-source";

/** Each: of a model type, with the two requests for its usual dataset; null where something is missing. */
const EXERCISES = [
  {
    type: "lstm", title: "Prose or program?",
    text: "The same network reads prose, and Python code. Which one has fewer bits per character, and what does each write first: words, or indentation?",
    pair: (usual, datasets) => {
      const prose = [usual, ...datasets.keys()].find((name) => name !== CODE && datasets.get(name)?.kind === "text" && HERE.includes(datasets.get(name).availability));
      return prose ? [{ name: `reads ${prose}`, dataset: prose }, { name: "reads code", dataset: CODE }] : null;
    },
    missing: "No text but Python code is on this machine: add one under Data.",
  },
  {
    type: "vae", title: "Without the divergence",
    text: "One autoencoder pays for the distance of its latents from the prior, the other does not. Compare their planes around the origin, and their reconstruction.",
    pair: (usual) => [{ name: "with KL", dataset: usual }, { name: "without KL", dataset: usual, hyperparameters: { kl_weight: 0 } }],
  },
  {
    type: "acgan", title: "Ten classes as five",
    text: "One generator knows ten classes, the other has each two of them under one label. Which pictures does it mix, and which does it keep apart?",
    pair: (usual, datasets) => (datasets.get(usual)?.classes === 10 ? [{ name: "ten classes", dataset: usual }, { name: "five classes", dataset: usual, hyperparameters: { label_map: [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] } }] : null),
    missing: "This needs a dataset of ten classes.",
  },
];

class Exercises extends View {
  types = null;
  error = null;
  sending = null; // the exercise

  async start() {
    try {
      const [types, datasets] = await Promise.all([get("/v1/model-types"), all("/v1/datasets")]);
      this.types = new Map(types.data.map((type) => [type.name, type]));
      this.datasets = new Map(datasets.map((each) => [each.name, each]));
    } catch (error) {
      this.error = error;
    }
    this.update();
  }

  pair({ type, pair }) {
    return pair(usualDataset(this.types.get(type), this.datasets, HERE), this.datasets);
  }

  async begin(exercise) {
    this.sending = exercise;
    this.update();
    const { demo } = this.types.get(exercise.type), jobs = [];
    try {
      for (const { name, dataset, hyperparameters } of this.pair(exercise))
        jobs.push(await change("POST", "/v1/training-jobs", { model_type: exercise.type, dataset, name, seed: 1, hyperparameters: { ...demo.hyperparameters, ...hyperparameters } }));
      location.assign(`${BASE}/compare?${jobs.map(({ id }) => `job=${id}`).join("&")}`);
    } catch (error) {
      Object.assign(this, { error, sending: null });
      this.update();
    }
  }

  view() {
    if (!this.types) return this.error ? errorPanel(this.error) : nothing;
    return html`<h2 class="spaced">Three exercises</h2>${this.error ? errorPanel(this.error) : nothing}
      <div class="cards">${EXERCISES.map((each) => {
        const isPossible = this.pair(each) !== null;
        return html`<div class="card" data-exercise=${each.type}><h3>${each.title}</h3><p>${each.text}</p>${isPossible ? nothing : html`<p class="muted">${each.missing}</p>`}
          <button ?disabled=${!isPossible || this.sending !== null} @click=${() => this.begin(each)}>${this.sending === each ? "Sending …" : "Train the pair"}</button></div>`;
      })}</div>`;
  }
}
customElements.define("m-exercises", Exercises);
