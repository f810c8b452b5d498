"use strict";
// Answers as a person looks at them: `show` has the elements of one, by what its task does and else by its ports.

const make = (tag, text, kind) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
};
const first = value => Array.isArray(value) && value.length === 1 ? value[0] : value;
const percent = share => `${(100 * share).toFixed(1)} %`;

async function show(answers, outputs, file) {
  const draw = drawn[answers.task];
  if (draw && file && file.type.startsWith("image/")) return draw(answers, outputs, await createImageBitmap(file));
  return outputs.attention && outputs.source && outputs.target ? aligned(outputs) : anything(answers.response, outputs);
}

// --- on the picture that was asked about; colours are those of the command line's pictures ---

const MOST = 1600;  // Pixels of the longer side: more are not seen, and cost a phone its memory.
const SURE = 0.2;  // A joint's heat from which it is drawn.

const drawn = {
  detect(answers, outputs, picture) {
    const found = [...Array(first(outputs.count)).keys()].map(row =>
      Object.fromEntries(["box", "label", "index", "score"].map(name => [name, outputs[name][0][row]])));
    const { canvas, pen, scale } = ground(picture, outputs.size[0]);
    for (const { box, label, index, score } of found.toReversed())
      framed(pen, box.map(side => side * scale), `${label} ${score.toFixed(2)}`, bright(index));
    const words = found.map(({ label, score }) => `${label} ${score.toFixed(2)}`);
    canvas.setAttribute("aria-label", found.length ? `Boxes: ${words.join(", ")}` : "No boxes");
    const rows = found.map(({ label, index, score }) => keyed(bright(index), label, percent(score)));
    return [canvas, ...(rows.length ? rows : [make("p", "Nothing was found.")])];
  },

  rank(answers, outputs, picture) {
    const { canvas, pen, scale } = ground(picture, outputs.size[0]), regions = new Map(), UNKNOWN = "<unk>";
    const words = outputs.word[0].slice(0, first(outputs.count));
    words.forEach((word, place) => {
      const box = outputs.box[0][place], region = regions.get(box.join()) ?? { box, words: [] };
      if (word !== UNKNOWN) regions.set(box.join(), { box, words: [...region.words, word] });
    });
    const found = [...regions.values()];
    found.forEach(({ box, words }, index) => framed(pen, box.map(side => side * scale), words.join(" "), bright(index)));
    canvas.setAttribute("aria-label", `Regions: ${found.map(({ words }) => words.join(" ")).join(", ")}`);
    const rows = words.map((word, place) => {
      const index = found.findIndex(({ box }) => box.join() === outputs.box[0][place].join());
      return word === UNKNOWN ? keyed("transparent", word, "not in the vocabulary")
        : keyed(bright(index), word, outputs.word_score[0][place].toFixed(3));
    });
    return [canvas, make("p", `Score: ${first(outputs.score).toFixed(3)}`), ...rows];
  },

  pose({ labels, bones }, outputs, picture) {
    const { canvas, pen, scale } = ground(picture, outputs.size[0]), sure = outputs.score[0].map(score => score > SURE);
    const at = outputs.points[0].map(point => point.map(side => side * scale));
    const thick = Math.max(2, Math.max(canvas.width, canvas.height) / 160);
    pen.lineWidth = thick;
    for (const [one, other] of bones) if (sure[one] && sure[other]) {
      pen.strokeStyle = voc(other + 1);
      pen.beginPath(); pen.moveTo(...at[one]); pen.lineTo(...at[other]); pen.stroke();
    }
    at.forEach((point, joint) => {
      if (!sure[joint]) return;
      pen.fillStyle = voc(joint + 1);
      pen.beginPath(); pen.arc(...point, 1.5 * thick, 0, 7); pen.fill();
    });
    const seen = labels.filter((_, joint) => sure[joint]);
    canvas.setAttribute("aria-label", `Joints: ${seen.join(", ") || "none"}`);
    return [canvas, ...labels.map((label, joint) =>
      sure[joint] ? keyed(voc(joint + 1), label, outputs.score[0][joint].toFixed(2)) : "").filter(Boolean)];
  },

  async segment({ labels }, outputs, picture) {
    const bytes = Uint8Array.from(atob(first(outputs.mask_bytes).b64), char => char.charCodeAt(0));
    const mask = await createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
    const { canvas, pen } = ground(picture, [mask.height, mask.width]), { width, height } = canvas;
    // Numbers of classes must not be mixed with those of neighbours.
    const tint = new OffscreenCanvas(width, height), brush = tint.getContext("2d");
    brush.imageSmoothingEnabled = false;
    brush.drawImage(mask, 0, 0, width, height);
    const pixels = brush.getImageData(0, 0, width, height), palette = labels.map((_, index) => channels(index));
    for (let place = 0; place < pixels.data.length; place += 4) {
      const index = pixels.data[place];
      pixels.data.set(palette[index] ?? [0, 0, 0], place);
      pixels.data[place + 3] = index ? 153 : 0;
    }
    brush.putImageData(pixels, 0, 0);
    pen.drawImage(tint, 0, 0);
    const shares = first(outputs.share).map((share, index) => ({ share, index })).filter(({ share }) => share > 0);
    shares.sort((one, other) => other.share - one.share);
    canvas.setAttribute("aria-label", shares.map(({ share, index }) => `${labels[index]} ${percent(share)}`).join(", "));
    const key = shares.map(({ share, index }) => keyed(voc(index), labels[index], percent(share)));
    return [canvas, ...key, ...(outputs.chance_bytes ? shown({ name: "chance_bytes", mime: "image/*" }, outputs.chance_bytes) : [])];
  },
};

function ground(picture, [height, width]) {
  const canvas = make("canvas"), pen = canvas.getContext("2d"), scale = Math.min(1, MOST / Math.max(height, width));
  canvas.width = Math.max(1, Math.round(width * scale)); canvas.height = Math.max(1, Math.round(height * scale));
  canvas.setAttribute("role", "img");
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return { canvas, pen, scale };
}

function framed(pen, [left, top, right, bottom], caption, colour) {
  const { width, height } = pen.canvas, thick = Math.max(2, Math.max(width, height) / 256), size = Math.max(12, thick * 6);
  pen.font = `${size}px system-ui, sans-serif`; pen.lineWidth = thick; pen.textBaseline = "top";
  pen.strokeStyle = pen.fillStyle = colour;
  pen.strokeRect(left, top, right - left, bottom - top);
  pen.fillRect(left, top, pen.measureText(caption).width + 2 * thick, size + 2 * thick);
  pen.fillStyle = "#000";
  pen.fillText(caption, left + thick, top + thick);
}

const bright = index => `hsl(${360 * (index * 0.618034 % 1)} 100% 60%)`;
const channels = index => [0, 1, 2].map(channel => {
  let value = 0;
  for (let bit = 0; bit < 8; bit++) value |= ((index >> (3 * bit + channel)) & 1) << (7 - bit);
  return value;
});
const voc = index => `rgb(${channels(index).join(" ")})`;

function keyed(colour, word, figure) {
  const entry = make("div", undefined, "row"), head = make("div"), name = make("span"), dot = make("i", undefined, "dot");
  dot.style.background = colour;
  name.append(dot, word);
  head.append(name, make("span", figure, "soft"));
  entry.append(head);
  return entry;
}

// --- where a translation looked: words that were read above, those that were written at the left ---

function aligned({ translation, source, target, attention }) {
  const whole = words => words.slice(0, words.indexOf("<end>") + 1 || words.length), shares = first(attention);
  const read = whole(first(source)), table = make("table"), head = table.insertRow();
  head.append(make("td"), ...read.map(word => make("th", word)));
  whole(first(target)).forEach((word, row) => {
    const line = table.insertRow();
    line.append(make("th", word), ...read.map((_, column) => {
      const share = shares[row][column], cell = make("td");
      cell.title = percent(share);
      cell.style.background = `color-mix(in srgb, var(--ink) ${Math.round(100 * share)}%, var(--page))`;
      return cell;
    }));
  });
  const around = make("div", undefined, "wide");
  around.append(table);
  return [make("p", first(translation)), around];
}

// --- anything else, by its ports ---

function anything(ports, outputs) {
  const out = [], left = new Map(ports.map(port => [port, first(outputs[port.name])]));
  const length = port => Array.isArray(left.get(port)) ? left.get(port).length : -1;
  // Words and a number for each of them are a ranking.
  const words = ports.find(port => port.dtype === "string" && port.shape.length > 1 && length(port) > 0);
  const shares = words && ports.find(port => port.dtype.startsWith("float") && length(port) === length(words));
  if (shares) {
    left.get(words).slice(0, 5).forEach((word, index) => out.push(ranked(word, left.get(shares)[index])));
    for (const port of ports.filter(each => length(each) === length(words))) left.delete(port);
  }
  for (const [port, value] of left) out.push(...shown(port, value));
  return out;
}

function ranked(word, share) {
  const entry = make("div", undefined, "row"), head = make("div"), bar = make("div", undefined, "bar"), fill = make("i");
  head.append(make("span", word), make("span", percent(share), "soft"));
  fill.style.width = `${Math.min(100 * share, 100)}%`;
  bar.append(fill); entry.append(head, bar);
  return entry;
}

function shown(port, value) {
  if (value && value.b64 !== undefined) {
    const [family] = (port.mime || "").split("/"), tag = { image: "img", audio: "audio", video: "video" }[family];
    const kind = (port.mime || "application/octet-stream").replace("*", "png"), data = `data:${kind};base64,${value.b64}`;
    const element = make(tag || "a", tag ? undefined : port.name);
    if (tag) element.src = data; else { element.href = data; element.download = port.name; }
    if (tag === "img") element.alt = port.name; else if (tag) element.controls = true;
    if (tag !== "audio") return [element];
    const named = make("label", port.name.replace("_bytes", ""), "soft");
    named.append(element);
    return [named];
  }
  if (Array.isArray(value) && value.length && value.every(each => each && each.b64 !== undefined))
    return value.flatMap(each => shown(port, each));
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return [make("p", `${port.dtype === "string" ? "" : `${port.name}: `}${text.length > 2000 ? text.slice(0, 2000) + "…" : text}`)];
}
