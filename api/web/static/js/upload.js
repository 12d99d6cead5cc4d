// Uploads with progress. XMLHttpRequest, because fetch reports none.
import { at } from "./address.js";
import { Problem } from "./api.js";

/** Send a form; onProgress gets the sent fraction. Returns the JSON answer. Throws Problem, or an Error without a server. */
export function sendForm(method, path, form, onProgress) {
  const request = new XMLHttpRequest();
  return new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () => {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { /* not JSON */ }
      if (request.status >= 200 && request.status < 300) resolve(answer);
      else reject(new Problem(request.status, answer, request.getResponseHeader("X-Request-Id")));
    };
    request.onerror = () => reject(new Error("The server did not answer; nothing was stored."));
    request.open(method, at(path));
    request.send(form);
  });
}
