'use strict';

const page = JSON.parse(document.getElementById('data').textContent);
const element = (id) => document.getElementById(id);
const stage = element('stage');
const CROP_PIXELS = 256;
const ZOOMS = [2, 4, 8];
const CLICK_PIXELS = 4;

const state = {
  frame: 0,
  cut: 50,
  zoom: 4,
  left: page.layers[0].key,
  right: page.right,
  // The place to magnify, in fractions of the picture.
  x: 0.5,
  y: 0.5,
};

const make = (tag, text = '', properties = {}) =>
  Object.assign(document.createElement(tag), { textContent: text, ...properties });
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const layerName = (key) => page.layers.find((layer) => layer.key === key).name;

function makeChoice(id, options, key) {
  for (const [value, name] of options) {
    const input = make('input', '', {
      type: 'radio', name: id, value, checked: state[key] === value,
    });
    input.addEventListener('change', () => { state[key] = value; show(); });
    const label = make('label', name);
    label.prepend(input);
    element(id).append(label);
  }
}

function makeCrops() {
  element('crops').style.setProperty('--layers', page.layers.length);
  for (const { key, name } of page.layers) {
    const canvas = make('canvas', '', { width: CROP_PIXELS, height: CROP_PIXELS });
    canvas.dataset.layer = key;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `${name}, magnified`);
    const figure = make('figure');
    figure.append(canvas, make('figcaption', name));
    element('crops').append(figure);
  }
}

function makeTable() {
  if (!page.metrics) return;
  element('metrics').hidden = false;
  const table = element('metrics').querySelector('table');
  const row = (cells, head) => {
    const line = make('tr');
    line.append(...cells.map((cell, i) => make(head || i === 0 ? 'th' : 'td', cell)));
    return line;
  };
  table.createTHead().append(row(['Frame', ...page.metrics.columns], true));
  const body = table.createTBody();
  page.frames.forEach((frame, i) => {
    const line = row([frame.index + 1, ...frame.metrics]);
    line.tabIndex = 0;
    line.addEventListener('click', () => step(i));
    line.addEventListener('keydown', (event) => { if (event.key === 'Enter') step(i); });
    body.append(line);
  });
  table.createTFoot().append(row(['mean', ...page.metrics.mean]));
}

function showImage(side) {
  const key = state[side];
  const image = element(`${side}-image`);
  image.src = page.frames[state.frame].images[key];
  image.alt = `${layerName(key)}, frame ${page.frames[state.frame].index + 1}`;
  image.classList.toggle('coarse', key === 'input');
  element(`${side}-label`).textContent = layerName(key);
}

function showCut() {
  stage.style.setProperty('--cut', `${state.cut}%`);
  const divider = element('divider');
  divider.setAttribute('aria-valuenow', Math.round(state.cut));
  divider.setAttribute('aria-valuetext', `${Math.round(state.cut)} % from the left`);
}

function cropArea() {
  const width = Math.min(CROP_PIXELS / state.zoom, page.width);
  const height = Math.min(CROP_PIXELS / state.zoom, page.height);
  return {
    left: clamp(state.x * page.width - width / 2, 0, page.width - width),
    top: clamp(state.y * page.height - height / 2, 0, page.height - height),
    width,
    height,
  };
}

function showMarker() {
  const area = cropArea();
  Object.assign(element('marker').style, {
    left: `${(100 * area.left) / page.width}%`,
    top: `${(100 * area.top) / page.height}%`,
    width: `${(100 * area.width) / page.width}%`,
    height: `${(100 * area.height) / page.height}%`,
  });
}

function showCrops() {
  const frame = state.frame;
  const area = cropArea();
  for (const canvas of element('crops').querySelectorAll('canvas')) {
    const image = new Image();
    image.src = page.frames[frame].images[canvas.dataset.layer];
    image.decode().then(() => {
      if (frame !== state.frame) return;
      const scale = image.naturalWidth / page.width;
      canvas.width = area.width * state.zoom;
      canvas.height = area.height * state.zoom;
      const context = canvas.getContext('2d');
      context.imageSmoothingEnabled = false;
      context.drawImage(
        image,
        area.left * scale, area.top * scale, area.width * scale, area.height * scale,
        0, 0, canvas.width, canvas.height,
      );
    });
  }
}

function showLearned() {
  const pictures = page.frames[state.frame].pictures;
  element('learned').hidden = pictures.length === 0;
  element('learned-pictures').replaceChildren(...pictures.map(({ caption, image }) => {
    const figure = make('figure');
    figure.append(make('img', '', { src: image, alt: caption }), make('figcaption', caption));
    return figure;
  }));
}

function showFrame() {
  const last = page.frames.length - 1;
  element('frame').value = state.frame;
  const name = `Frame ${page.frames[state.frame].index + 1} of ${page.clip_length}`;
  element('frame-name').textContent = name;
  element('frame').setAttribute('aria-valuetext', name);
  element('previous').disabled = state.frame === 0;
  element('next').disabled = state.frame === last;
  element('metrics').querySelectorAll('tbody tr').forEach((line, i) => {
    if (i === state.frame) line.setAttribute('aria-current', 'true');
    else line.removeAttribute('aria-current');
  });
}

function show() {
  showImage('left');
  showImage('right');
  showCut();
  showMarker();
  showCrops();
  showLearned();
  showFrame();
}

function step(frame) {
  state.frame = clamp(frame, 0, page.frames.length - 1);
  show();
}

function moveCut(cut) {
  state.cut = clamp(cut, 0, 100);
  showCut();
}

/** Where in the stage an event was, in fractions of it. */
function place(event) {
  const box = stage.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function listenToStage() {
  let start = null;
  let dragging = false;
  // Else the browser would take the focus from the border again.
  stage.addEventListener('mousedown', (event) => event.preventDefault());
  stage.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    start = event;
    dragging = event.target === element('divider');
    stage.setPointerCapture(event.pointerId);
    element('divider').focus({ preventScroll: true });
  });
  stage.addEventListener('pointermove', (event) => {
    if (!start) return;
    dragging ||= Math.abs(event.clientX - start.clientX) > CLICK_PIXELS;
    if (dragging) moveCut(100 * place(event)[0]);
  });
  stage.addEventListener('pointerup', (event) => {
    if (start && !dragging) {
      [state.x, state.y] = place(event);
      showMarker();
      showCrops();
    }
    start = null;
  });
  stage.addEventListener('pointercancel', () => { start = null; });
  element('divider').addEventListener('keydown', (event) => {
    const cuts = {
      ArrowLeft: state.cut - 2,
      ArrowRight: state.cut + 2,
      PageDown: state.cut - 10,
      PageUp: state.cut + 10,
      Home: 0,
      End: 100,
    };
    if (event.key in cuts) {
      event.preventDefault();
      moveCut(cuts[event.key]);
    }
  });
}

function listenToStepper() {
  element('frame').max = page.frames.length - 1;
  element('frame').addEventListener('input', (event) => step(Number(event.target.value)));
  element('previous').addEventListener('click', () => step(state.frame - 1));
  element('next').addEventListener('click', () => step(state.frame + 1));
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === ',') step(state.frame - 1);
    if (event.key === '.') step(state.frame + 1);
  });
}

stage.style.setProperty('--aspect', page.width / page.height);
const layers = page.layers.map(({ key, name }) => [key, name]);
makeChoice('left-choice', layers, 'left');
makeChoice('right-choice', layers, 'right');
makeChoice('zoom-choice', ZOOMS.map((zoom) => [zoom, `${zoom}\u00d7`]), 'zoom');
makeCrops();
makeTable();
listenToStage();
listenToStepper();
show();
