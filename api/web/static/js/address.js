// Addresses of pages, of the API and of static files, under the prefix of a proxy where there is one.
const root = document.documentElement.dataset;
export const BASE = root.base;
export const ASSETS = root.assets;
export const OWNER = root.owner; // who is logged in; empty while authentication is off

/** An address of this server for a path such as "/v1/models". */
export const at = (path) => BASE + path;

/** The last part of the page's address: the id in /jobs/trn_…. */
export const idOfPage = () => decodeURIComponent(location.pathname.split("/").filter(Boolean).pop() ?? "");

/** Parameters of the page's address. */
export const parameters = () => new URLSearchParams(location.search);

/** Write parameters into the page's address; empty values are left out. push: as a new entry of the history. */
export function setParameters(values, { push = false } = {}) {
  const query = parameters();
  for (const [name, value] of Object.entries(values)) {
    query.delete(name);
    for (const item of Array.isArray(value) ? value : [value]) if (item !== "" && item != null && item !== false) query.append(name, item);
  }
  const text = query.toString();
  history[push ? "pushState" : "replaceState"](null, "", location.pathname + (text ? `?${text}` : ""));
}
