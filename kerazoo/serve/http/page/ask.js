"use strict";
const at = id => document.getElementById(id);
let models = [], fields = [], asked = 0;

const current = () => models.find(model => model.name === at("model").value);
const chosen = () => current().signatures[at("task").selectedIndex];
const path = () => `/v1/models/${encodeURIComponent(current().name)}`;

// --- what a person gives: one field a port, by what its values are ---

function fieldOf(port) {
  if (port.media === "category") return choiceField(port);
  if (port.dtype === "string") return port.suffixes.length ? fileField(port) : textField(port);
  if (port.media === "seed") return seedField(port);
  return port.dtype.includes("int") && port.shape.length === 1 && !port.suffixes.length ? numberField(port) : jsonField(port);
}

function fileField(port) {
  const box = make("div", undefined, "drop"), input = make("input");
  const prompt = `Drop a file here${port.media ? ` (${port.media})` : ""}, paste it, or choose one`;
  input.type = "file"; input.hidden = true; input.multiple = true;
  input.accept = [port.mime, ...port.suffixes].filter(Boolean).join(",");
  box.tabIndex = 0; box.setAttribute("role", "button"); box.setAttribute("aria-label", prompt);
  box.textContent = prompt;
  box.onclick = () => input.click();
  box.onkeydown = event => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    input.click();
  };
  const field = { port, file: null, element: make("div"), stop() {} };
  field.take = file => { field.stop(); field.file = file; box.replaceChildren(preview(file)); };
  input.onchange = () => { takeAll([...input.files]); input.value = ""; };
  field.element.append(box, input);
  if (port.media === "image" && navigator.mediaDevices) field.element.append(cameraOf(field, box));
  field.value = async () => {
    if (!field.file) throw new Error(`Choose a file for ${port.name}.`);
    return [{ b64: await base64(field.file) }];
  };
  return field;
}

// The first press shows what the camera sees in the box, the second takes it.
function cameraOf(field, box) {
  const button = make("button", "Use the camera", "plain"), video = make("video");
  let stream = null;
  button.type = "button"; video.muted = video.autoplay = video.playsInline = true;
  video.onclick = event => event.stopPropagation();
  field.stop = () => {
    stream?.getTracks().forEach(track => track.stop());
    stream = null;
    button.textContent = "Use the camera";
  };
  button.onclick = async () => {
    if (!stream) {
      try { stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }); }
      catch (error) { at("answer").replaceChildren(make("p", `The camera cannot be used: ${error.message}`, "bad")); return; }
      video.srcObject = stream;
      box.replaceChildren(video);
      button.textContent = "Take the picture";
      return;
    }
    if (!video.videoWidth) return;  // Its first frame is still to come.
    const still = make("canvas");
    still.width = video.videoWidth; still.height = video.videoHeight;
    still.getContext("2d").drawImage(video, 0, 0);
    field.stop();
    const taken = await new Promise(resolve => still.toBlob(resolve, "image/jpeg", 0.95));
    takeAll([new File([taken], "camera.jpg", { type: "image/jpeg" })]);
  };
  return button;
}

function preview(file) {
  const tag = { image: "img", audio: "audio", video: "video" }[file.type.split("/")[0]];
  if (!tag) return make("span", file.name);
  const shown = make(tag);
  shown.src = URL.createObjectURL(file);
  if (tag === "img") { shown.alt = file.name; shown.onload = () => URL.revokeObjectURL(shown.src); }
  else { shown.controls = true; shown.setAttribute("aria-label", file.name); shown.onclick = event => event.stopPropagation(); }
  shown.onerror = () => shown.replaceWith(file.name);
  return shown;
}

const base64 = file => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = () => reject(new Error(`${file.name} cannot be read.`));
  reader.readAsDataURL(file);
});

function typed(port, input, read) {
  const element = make("label");
  element.append(make("span", port.name, "soft"), input);
  input.setAttribute("aria-label", port.name);
  return { port, element, value: async () => read(input.value) };
}

function textField(port) {
  const input = make("textarea");
  input.placeholder = "Type a text";
  return typed(port, input, text => [text]);
}

function choiceField(port) {
  const input = make("select"), any = make("option", "any");
  any.value = ""; input.style.marginLeft = ".5rem";
  input.append(any, ...(chosen().labels || []).map(label => make("option", label)));
  return typed(port, input, label => [label]);
}

function numberField(port) {
  const input = make("input");
  input.type = "number"; input.value = "1"; input.style.marginLeft = ".5rem";
  return typed(port, input, text => [Number(text)]);
}

// Any whole number may be typed; the slider goes from one to the next and asks at once.
function seedField(port) {
  const field = numberField(port), slider = make("input");
  slider.type = "range"; slider.max = 999; slider.value = 1;
  slider.setAttribute("aria-label", `${port.name}, slider`);
  const input = field.element.querySelector("input");
  slider.oninput = () => { input.value = slider.value; };
  slider.onchange = () => at("question").requestSubmit();
  input.oninput = () => { slider.value = input.value; };
  field.element.append(slider);
  return field;
}

function jsonField(port) {
  const input = make("textarea"), shape = port.shape.map(size => size ?? "?").join(", ");
  input.placeholder = `JSON: ${port.dtype} [${shape}]`;
  return typed(port, input, text => {
    try { return JSON.parse(text); }
    catch (error) { throw new Error(`${port.name} is no JSON: ${error.message}`); }
  });
}

// --- asking ---

function chooseModel() {
  const signatures = current().signatures || [];
  at("task").replaceChildren(...signatures.map(each => make("option", each.task)));
  at("tasks").hidden = signatures.length < 2;
  chooseTask();
}

function chooseTask() {
  asked++;
  fields.forEach(field => field.stop?.());
  const told = current().signatures;
  fields = told ? chosen().request.map(fieldOf) : [];
  at("fields").replaceChildren(...fields.map(field => {
    const around = make("div", undefined, "field");
    around.append(field.element);
    return around;
  }));
  if (!told) at("fields").replaceChildren(make("p", "This model carries no card: what it takes is told by its metadata."));
  at("ask").hidden = !told || (fields.length === 1 && "take" in fields[0]);
  at("answer").replaceChildren();
  at("curl").textContent = example(told);
  at("python").textContent = inPython(told);
}

function example(told) {
  const here = location.origin + path();
  if (!told) return `curl ${here}/metadata`;
  const { signature, request } = chosen(), first = at("task").selectedIndex === 0;
  if (first && request.length === 1 && "take" in fields[0]) {
    const kind = (request[0].mime || "application/octet-stream").replace("*", request[0].suffixes[0].slice(1));
    return `curl -H 'Content-Type: ${kind}' --data-binary @file${request[0].suffixes[0]} \\\n  ${here}:predict`;
  }
  const value = field => "take" in field ? [{ b64: "..." }] : field.port.dtype === "string" ? [field.port.media === "category" ? "" : "..."] : [1];
  const inputs = Object.fromEntries(fields.map(field => [field.port.name, value(field)]));
  const body = JSON.stringify({ ...(first ? {} : { signature_name: signature }), inputs });
  return `curl -d '${body}' \\\n  ${here}:predict`;
}

function inPython(told) {
  if (!told || at("task").selectedIndex || fields.length > 1) return "";
  const [{ port }] = fields, item = port.dtype !== "string" ? "1" : port.suffixes.length ? `"file${port.suffixes[0]}"` : '"..."';
  const files = chosen().response.some(each => each.suffixes.length);
  const then = files ? `for name, data in answer.files().items():\n    open(name, "wb").write(data)` : "print(answer.to_json())";
  return `import kerazoo\n\nanswer = kerazoo.Client("${location.origin}", "${current().name}")(${item})\n${then}`;
}

async function ask(name, mine) {
  const article = make("article"), start = performance.now(), answers = chosen(), model = current();
  const { signature, response } = answers;
  if (name) article.append(make("p", name, "soft"));
  const waiting = make("p", "…", "soft");
  article.append(waiting);
  at("answer").append(article);
  let answer;
  try {
    const inputs = {};
    for (const field of fields) inputs[field.port.name] = await field.value();
    const body = JSON.stringify({ signature_name: signature, inputs });
    const got = await fetch(`${path()}:predict`, { method: "POST", body, headers: { "Content-Type": "application/json" } });
    answer = await got.json();
  } catch (error) {
    answer = { error: error instanceof TypeError ? `The server does not answer (${error.message}).` : error.message };
  }
  if (mine !== asked) return;
  if (answer.error) { waiting.replaceWith(make("p", answer.error, "bad")); return; }
  const took = Math.round(performance.now() - start), file = fields.find(each => each.file)?.file ?? null;
  const outputs = response.length === 1 ? { [response[0].name]: answer.outputs } : answer.outputs;
  const elements = await show(answers, outputs, file);
  if (mine !== asked) return;
  waiting.replaceWith(...elements, make("p", `${took} ms · version ${model.version} · ${model.engine}`, "soft"));
}

async function takeAll(files) {
  const field = fields.find(each => "take" in each);
  if (!field || !files.length) return;
  const mine = ++asked;
  at("answer").replaceChildren();
  for (const file of files) {
    if (mine !== asked) return;
    field.take(file);
    if (fields.length === 1) await ask(files.length > 1 ? file.name : "", mine);
  }
}

// --- events; what is dropped beside the box must not take the page away ---

at("model").onchange = chooseModel;
at("task").onchange = chooseTask;
at("question").onsubmit = event => {
  event.preventDefault();
  const mine = ++asked;
  at("answer").replaceChildren();
  ask("", mine);
};
addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("over"); });
addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("over"); });
addEventListener("drop", event => {
  event.preventDefault();
  document.body.classList.remove("over");
  takeAll([...event.dataTransfer.files]);
});
addEventListener("paste", event => {
  const files = [...(event.clipboardData ? event.clipboardData.files : [])];
  if (!files.length) return;
  event.preventDefault();
  takeAll(files);
});

fetch("/kerazoo/models").then(response => response.json()).then(found => {
  if (found.error) throw new Error(found.error);
  models = found.models;
  at("model").replaceChildren(...models.map(model => make("option", model.name)));
  if (models.length) chooseModel();
  else { at("ask").hidden = true; at("answer").replaceChildren(make("p", "No model answers at the moment.", "soft")); }
}).catch(error => { at("ask").hidden = true; at("answer").replaceChildren(make("p", error.message, "bad")); });
