
'use strict';
// Draws the charts of a page from the JSON in it. All text is set as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  document.documentElement.classList.add('js');

  const LENGTHS = [1, 5, 15, 60, 300, 900, 3600, 14400, 43200, 86400, 604800, 2419200, 31449600]; // of periods, each a multiple of those before
  const MARGIN = {left: 64, right: 12, top: 10, bottom: 34};

  function make(space, name, attributes, ...children) {
    const node = space ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    node.append(...children.filter((child) => child !== null));
    return node;
  }
  const html = (name, attributes, ...children) => make(false, name, attributes, ...children);
  const svg = (name, attributes, ...children) => make(true, name, attributes, ...children);
  const swatch = (color) => svg('svg', {viewBox: '0 0 1 1', 'aria-hidden': 'true'}, svg('rect', {width: 1, height: 1, class: color}));

  const seconds = (time) => Date.parse(time) / 1000;
  // What turns the direction of text is shown, since a name could hide behind it.
  const shown = (text) => text.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (c) => '\\u' + c.charCodeAt(0).toString(16));
  const utc = (time) => new Date(time * 1000).toISOString().slice(0, 19) + 'Z';
  const count = (number) => Math.round(number).toLocaleString('en-US');
  function size(bytes) {
    let unit = 0;
    for (; bytes >= 999.5 && unit < 5; ++unit) bytes /= 1000;
    return bytes.toFixed(unit === 0 || bytes >= 99.5 ? 0 : 1) + ' ' + ['B', 'kB', 'MB', 'GB', 'TB', 'PB'][unit];
  }
  function duration(time) {
    for (const [length, name] of [[604800, 'week'], [86400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']])
      if (time >= length && time % length === 0) return time / length + ' ' + name + (time === length ? '' : 's');
    return time + ' seconds';
  }

  // What part of the time is shown, by all charts that share it.
  class View {
    constructor(from, to, least) {
      Object.assign(this, {first: from, last: to, from, to, least: Math.min(least, to - from), charts: []});
    }
    show(from, to) {
      const span = Math.min(Math.max(to - from, this.least), this.last - this.first);
      const middle = (from + to) / 2;
      this.from = Math.min(Math.max(middle - span / 2, this.first), this.last - span);
      this.to = this.from + span;
      for (const chart of this.charts) chart.draw();
      if (this.changed) this.changed();
    }
    zoom(factor, at = (this.from + this.to) / 2) {
      this.show(at - (at - this.from) * factor, at + (this.to - at) * factor);
    }
    pan(part) {
      const way = (this.to - this.from) * part;
      const by = Math.min(Math.max(way, this.first - this.from), this.last - this.to);
      this.show(this.from + by, this.to + by);
    }
    all() { this.show(this.first, this.last); }
    get isAll() { return this.from <= this.first && this.to >= this.last; }

    // Buttons, and what is shown.
    tools() {
      const told = html('output', {'aria-live': 'polite', class: 'range'});
      const button = (label, does) => {
        const node = html('button', {type: 'button'}, label);
        node.addEventListener('click', does);
        return node;
      };
      const into = button('Zoom in', () => this.zoom(0.5)), out = button('Zoom out', () => this.zoom(2));
      const earlier = button('Earlier', () => this.pan(-0.5)), later = button('Later', () => this.pan(0.5));
      const all = button('All', () => this.all());
      this.changed = () => {
        told.replaceChildren(html('time', {}, utc(Math.ceil(this.from))), ' to ', html('time', {}, utc(Math.floor(this.to))));
        into.disabled = this.to - this.from <= this.least;
        out.disabled = all.disabled = this.isAll;
        earlier.disabled = this.from <= this.first;
        later.disabled = this.to >= this.last;
      };
      this.changed();
      return html('div', {class: 'tools', role: 'group', 'aria-label': 'The time that is shown'}, told, into, out, earlier, later, all);
    }
  }

  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600,
    2419200, 7862400, 15724800, 31449600, 157248000, 314496000];

  // A chart over time: the axis, the mouse and the keys. Others fill it.
  class Chart {
    constructor(place, view, title, height) {
      Object.assign(this, {place, view, height, cursor: null});
      this.about = html('span');
      this.node = svg('svg', {class: 'plot', tabindex: 0, role: 'application', 'aria-roledescription': 'chart',
        'aria-label': title + ' over time. Arrow keys read the values, plus and minus zoom, 0 shows all. The table has the same.'});
      this.tip = html('div', {class: 'tip', hidden: ''});
      this.told = html('p', {class: 'unseen', 'aria-live': 'polite'});
      place.append(html('h3', {}, title + ' ', this.about), this.node, this.tip, this.told);
      view.charts.push(this);
      this.listen();
      new ResizeObserver(() => this.draw()).observe(place);
    }
    get left() { return MARGIN.left; }
    get inner() { return this.width - this.left - MARGIN.right; }
    x(time) { return this.left + (time - this.view.from) / (this.view.to - this.view.from) * this.inner; }
    time(x) { return this.view.from + (x - this.left) / this.inner * (this.view.to - this.view.from); }

    begin() {
      this.width = Math.max(this.place.clientWidth, 200); // asked for once, since that lays the page out
      this.node.setAttribute('viewBox', `0 0 ${this.width} ${this.height}`);
      this.node.setAttribute('height', this.height);
      this.node.replaceChildren();
      const bottom = this.height - MARGIN.bottom;
      const span = this.view.to - this.view.from;
      const step = STEPS.find((one) => one / span * this.inner >= 72) || STEPS[STEPS.length - 1];
      let day = '';
      for (let at = Math.ceil(this.view.from / step) * step; at <= this.view.to; at += step) {
        const [date, clock] = utc(at).slice(0, -1).split('T');
        const x = Math.round(this.x(at)), edge = x < this.left + 30 ? 'start' : x > this.width - 30 ? 'end' : 'middle';
        this.node.append(svg('line', {class: 'grid', x1: x, x2: x, y1: MARGIN.top, y2: bottom}));
        const put = (text, dy) => this.node.append(svg('text', {x, y: bottom + dy, 'text-anchor': edge}, text));
        if (step >= 86400) {
          put(date, 15);
        } else {
          put(step < 60 ? clock : clock.slice(0, 5), 15);
          if (date !== day) put(date, 29);
          day = date;
        }
      }
      this.node.append(svg('line', {class: 'axis', x1: this.left, x2: this.width - MARGIN.right, y1: bottom, y2: bottom}));
    }
    mark(from, to) {
      const x = Math.max(this.x(from), this.left), end = Math.min(this.x(to), this.width - MARGIN.right);
      this.node.append(svg('rect', {class: 'cursor', x, width: Math.max(end - x, 1), y: MARGIN.top, height: this.height - MARGIN.bottom - MARGIN.top}));
    }

    // `rows` has a color or null, a name and a value each.
    say(x, title, rows) {
      this.tip.replaceChildren(html('strong', {}, title),
        ...rows.map(([color, name, value]) => html('div', {}, color ? swatch(color) : html('span'), html('span', {}, name), html('span', {}, value))));
      this.tip.hidden = false;
      const width = this.tip.offsetWidth;
      this.tip.style.left = Math.max(0, x + 14 + width <= this.width ? x + 14 : x - 14 - width) + 'px';
      if (this.width < 520) this.tip.style.top = this.place.offsetHeight + 'px'; // beside it there is no room
      this.told.textContent = title + ': ' + rows.map(([, name, value]) => name + ' ' + value).join(', ');
    }
    point(cursor) {
      this.cursor = cursor;
      if (cursor === null) this.tip.hidden = true;
      this.draw();
    }

    listen() {
      let down = null;
      const at = (event) => event.clientX - this.node.getBoundingClientRect().left;
      const y = (event) => event.clientY - this.node.getBoundingClientRect().top;
      this.node.addEventListener('pointerdown', (event) => {
        if (event.button !== 0 || at(event) < this.left) return;
        down = at(event);
        this.node.setPointerCapture(event.pointerId);
      });
      this.node.addEventListener('pointermove', (event) => {
        this.hover(at(event), y(event));
        if (down === null || Math.abs(at(event) - down) < 4) return;
        const a = Math.max(Math.min(at(event), down), this.left), b = Math.min(Math.max(at(event), down), this.width - MARGIN.right);
        this.node.append(svg('rect', {class: 'selection', x: a, width: Math.max(b - a, 0), y: MARGIN.top, height: this.height - MARGIN.bottom - MARGIN.top}));
      });
      this.node.addEventListener('pointerup', (event) => {
        const from = down;
        down = null;
        if (from === null || Math.abs(at(event) - from) < 4) return;
        this.point(null);
        this.view.show(...[this.time(from), this.time(at(event))].sort((a, b) => a - b));
      });
      this.node.addEventListener('pointercancel', () => { down = null; });
      this.node.addEventListener('pointerleave', () => { if (down === null && document.activeElement !== this.node) this.point(null); });
      this.node.addEventListener('blur', () => this.point(null));
      this.node.addEventListener('dblclick', () => this.view.all());
      this.node.addEventListener('wheel', (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // else the page scrolls
        event.preventDefault();
        this.view.zoom(event.deltaY < 0 ? 0.8 : 1.25, this.time(at(event)));
      }, {passive: false});
      this.node.addEventListener('keydown', (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const keys = {'+': () => this.view.zoom(0.5, this.focus()), '=': () => this.view.zoom(0.5, this.focus()), '-': () => this.view.zoom(2, this.focus()),
          0: () => this.view.all(), Escape: () => this.point(null), ArrowLeft: () => event.shiftKey ? this.view.pan(-0.25) : this.move(-1),
          ArrowRight: () => event.shiftKey ? this.view.pan(0.25) : this.move(1), Home: () => this.move(-Infinity), End: () => this.move(Infinity),
          ArrowUp: () => this.change(-1), ArrowDown: () => this.change(1)};
        if (!keys[event.key] || keys[event.key]() === false) return;
        event.preventDefault();
      });
    }
    change() { return false; }
  }

  // Stacked bars: `series` has a name, a color and the values of all times in `starts` each, which are `length` seconds long.
  class Bars extends Chart {
    constructor(place, view, title, format, starts, length, series) {
      super(place, view, title, 220);
      Object.assign(this, {format, starts, length, series});
      this.draw();
    }
    // Periods are joined as far as that takes to see them.
    bins() {
      const span = this.view.to - this.view.from;
      this.bin = LENGTHS.find((one) => one >= this.length && one / span * this.inner >= 3) || LENGTHS[LENGTHS.length - 1];
      const bins = new Map();
      this.starts.forEach((start, i) => {
        const from = Math.floor(start / this.bin) * this.bin;
        if (from + this.bin <= this.view.from || from >= this.view.to) return;
        if (!bins.has(from)) bins.set(from, {from, to: from + this.bin, values: this.series.map(() => 0), all: 0});
        const bin = bins.get(from);
        this.series.forEach((one, j) => {
          bin.values[j] += one.values[i];
          if (!one.hidden) bin.all += one.values[i];
        });
      });
      return [...bins.values()].sort((a, b) => a.from - b.from);
    }
    draw() {
      if (!this.series) return;
      this.begin();
      const bins = this.shown = this.bins(), bottom = this.height - MARGIN.bottom, room = bottom - MARGIN.top;
      const highest = Math.max(...bins.map((bin) => bin.all), 1);
      let step = 10 ** Math.floor(Math.log10(highest / 3));
      step *= [1, 2, 5, 10].find((factor) => highest / (step * factor) <= 4.5) || 10;
      step = Math.max(step, 1);
      for (let value = 0; value <= highest; value += step) {
        const y = Math.round(bottom - value / highest * room);
        if (value > 0) this.node.append(svg('line', {class: 'grid', x1: this.left, x2: this.width - MARGIN.right, y1: y, y2: y}));
        this.node.append(svg('text', {x: this.left - 8, y: y + 4, 'text-anchor': 'end'}, this.format(value)));
      }
      const paths = this.series.map(() => '');
      for (const bin of bins) {
        let y = bottom;
        const x = Math.max(this.x(bin.from), this.left), end = Math.min(this.x(bin.to), this.width - MARGIN.right);
        const gap = end - x > 4 ? 1 : 0;
        bin.values.forEach((value, i) => {
          if (this.series[i].hidden || value === 0) return;
          const height = value / highest * room;
          paths[i] += `M${x.toFixed(1)} ${y.toFixed(2)}h${Math.max(end - x - gap, 0.5).toFixed(1)}v${(-height).toFixed(2)}h${(-Math.max(end - x - gap, 0.5)).toFixed(1)}z`;
          y -= height;
        });
      }
      paths.forEach((d, i) => {
        if (d) this.node.append(svg('path', {class: this.series[i].color + (this.series[i].dim ? ' dim' : ''), d}));
      });
      this.about.textContent = 'in ' + duration(this.bin) + ' each';
      this.read();
    }
    read() {
      const bin = this.cursor === null ? null : this.shown.find((one) => one.from <= this.cursor && this.cursor < one.to);
      if (!bin) {
        this.tip.hidden = true;
        return;
      }
      this.mark(bin.from, bin.to);
      const rows = bin.values.map((value, i) => [this.series[i].color, this.series[i].name, this.format(value), value, this.series[i].hidden])
        .filter((row) => row[3] > 0 && !row[4]).reverse();
      this.say((this.x(bin.from) + this.x(bin.to)) / 2, utc(bin.from) + (this.bin === 1 ? '' : ', ' + duration(this.bin)),
        rows.length === 1 ? rows : [...rows, [null, 'all', this.format(bin.all)]]);
    }
    hover(x) {
      const time = this.time(x), near = (bin) => Math.max(bin.from - time, time - bin.to, 0);
      const best = x < this.left ? null : this.shown.reduce((a, b) => (a && near(a) <= near(b) ? a : b), null);
      const is_near = best && near(best) / (this.view.to - this.view.from) * this.inner < 12;
      this.point(is_near ? best.from : null);
    }
    focus() { return this.cursor === null ? undefined : this.cursor + this.bin / 2; }
    move(way) {
      const all = this.shown, at = all.findIndex((bin) => bin.from <= this.cursor && this.cursor < bin.to);
      if (!all.length) return;
      const next = at < 0 && Math.abs(way) === 1 ? (way > 0 ? 0 : all.length - 1) : Math.min(Math.max((at < 0 ? 0 : at) + way, 0), all.length - 1);
      if (at >= 0 && next === at && !this.view.isAll && Math.abs(way) === 1) this.view.pan(way * 0.25);
      this.point(all[next].from);
    }
  }

  // A row for each of `lanes`, with a name and `parts`: what lies from one time to another, a class, and what is to be said of it.
  class Lanes extends Chart {
    constructor(place, view, title, lanes) {
      super(place, view, title, 0);
      this.lanes = lanes;
      this.lane = 0;
      this.draw();
    }
    draw() {
      if (!this.lanes) return;
      const row = 34;
      this.height = MARGIN.top + this.lanes.length * row + MARGIN.bottom;
      this.begin();
      this.lanes.forEach((lane, i) => {
        const top = MARGIN.top + i * row, y = top + 16, height = 14;
        let last = -10, steps = '';
        for (const part of lane.parts) {
          if (part.to < this.view.from || part.from > this.view.to) continue;
          const x = Math.max(this.x(part.from), this.left), end = Math.min(Math.max(this.x(part.to), this.x(part.from) + 2), this.width - MARGIN.right);
          if (part.is === 'step') {
            if (end - last >= 3 && part.to <= this.view.to) {
              steps += `M${end.toFixed(1)} ${y}v${height}`;
              last = end;
            }
            continue;
          }
          this.node.append(svg('rect', {class: 'lane-' + part.is, x, width: Math.max(end - x, 1), y: part.is === 'gap' ? y + 0.5 : y, height: part.is === 'gap' ? height - 1 : height}));
          if (part.is === 'gap' && end - x > 30) this.node.append(svg('text', {class: 'gap-name', x: (x + end) / 2, y: y + 11, 'text-anchor': 'middle'}, 'gap'));
        }
        if (steps) this.node.append(svg('path', {class: 'lane-step', d: steps}));
        this.node.append(svg('text', {class: 'lane-name', x: this.left, y: top + 11}, lane.name));
      });
      this.read();
    }
    get left() { return 12; }
    at(lane, time) {
      const parts = this.lanes[lane].parts, slack = 3 * (this.view.to - this.view.from) / this.inner;
      const inside = (part) => part.say && part.from - slack <= time && time <= part.to + slack;
      return parts.find((part) => part.is === 'step' && part.say && part.from < time && time <= part.to) || parts.find((part) => part.is !== 'window' && inside(part)) || parts.find(inside) || null;
    }
    read() {
      const part = this.cursor === null ? null : this.cursor;
      if (!part) {
        this.tip.hidden = true;
        return;
      }
      this.mark(part.from, part.to);
      this.say((this.x(Math.max(part.from, this.view.from)) + this.x(Math.min(part.to, this.view.to))) / 2, part.say[0], part.say.slice(1).map(([name, value]) => [null, name, value]));
      if (this.width >= 520) this.tip.style.top = MARGIN.top + (this.lane + 1) * 34 + 24 + 'px';
    }
    hover(x, y) {
      const lane = Math.floor((y - MARGIN.top) / 34);
      if (!this.lanes[lane]) return this.point(null);
      this.lane = lane;
      this.point(this.at(lane, this.time(x)));
    }
    focus() { return this.cursor === null ? undefined : (Math.max(this.cursor.from, this.view.first) + this.cursor.to) / 2; }
    move(way) {
      const parts = this.lanes.length ? this.lanes[this.lane].parts.filter((part) => part.say) : [];
      if (!parts.length) return;
      const at = parts.indexOf(this.cursor);
      const next = parts[Math.min(Math.max(at < 0 ? (way > 0 ? (way === 1 ? 0 : parts.length - 1) : way === -1 ? parts.length - 1 : 0) : at + way, 0), parts.length - 1)];
      if (next.to > this.view.to || next.from < this.view.from) {
        const half = (this.view.to - this.view.from) / 2, middle = (next.from + next.to) / 2;
        this.view.show(middle - half, middle + half);
      }
      this.point(next);
    }
    change(way) {
      this.lane = Math.min(Math.max(this.lane + way, 0), this.lanes.length - 1);
      const time = this.focus();
      this.cursor = time === undefined ? null : this.at(this.lane, time);
      if (this.cursor) this.draw(); else this.move(1);
    }
  }

  // Names with their colors; each hides and shows what it names in all charts of the view.
  function legend(view, lists) {
    const list = html('ul', {class: 'legend', 'aria-label': 'What is shown'});
    lists[0].forEach((one, i) => {
      const button = html('button', {type: 'button', 'aria-pressed': 'true'}, swatch(one.color), html('span', {}, one.name));
      const all = (change) => {
        lists.forEach((series) => series.forEach((other, j) => change(other, i === j)));
        for (const chart of view.charts) chart.draw();
      };
      button.addEventListener('click', () => {
        all((other, is) => { if (is) other.hidden = !other.hidden; });
        button.setAttribute('aria-pressed', String(!one.hidden));
      });
      for (const event of ['pointerenter', 'focus']) button.addEventListener(event, () => all((other, is) => { other.dim = !is; }));
      for (const event of ['pointerleave', 'blur']) button.addEventListener(event, () => all((other) => { other.dim = false; }));
      list.append(html('li', {}, button));
    });
    return list;
  }

  const meaning = (all) => html('p', {class: 'legend'}, ...all.map(([color, name]) => html('span', {}, swatch(color), name)));
  const place = (kind) => document.querySelector(`[data-chart="${kind}"]`);
  const padded = (from, to, least) => (to - from >= least ? [from, to] : [(from + to - least) / 2, (from + to + least) / 2]);
  const hint = () => html('p', {class: 'hint'}, 'Drag over a part to zoom into it, double-click for all. With the keyboard: arrows read, + and - zoom, Shift and arrows move, 0 shows all.');

  function overTime() {
    const length = data.periodSeconds, starts = data.periods.map((period) => seconds(period.time));
    const view = new View(...padded(starts[0], starts[starts.length - 1] + length, 5 * length), 5 * length);
    const most = 7, drawn = data.series.filter((one) => one.ns !== null).slice(0, most);
    const lists = ['operations', 'bytes'].map((what) => {
      const list = drawn.map((one, i) => ({name: shown(one.ns) || '(none)', color: 'c' + i, values: one[what]}));
      const others = data.series.filter((one) => !drawn.includes(one));
      if (others.length) list.push({name: 'all others', color: 'rest', values: starts.map((_, i) => others.reduce((sum, one) => sum + one[what][i], 0))});
      return list;
    });
    place('operations').before(view.tools(), legend(view, lists));
    new Bars(place('operations'), view, 'Operations', count, starts, length, lists[0]);
    new Bars(place('bytes'), view, 'Bytes', size, starts, length, lists[1]);
    place('bytes').after(hint());
  }

  function files() {
    const lanes = [], known = data.files.filter((file) => file.first !== null);
    let reached = null, reachedAt = null;
    const sorted = known.map((file) => ({file, from: seconds(file.firstTime), to: seconds(file.lastTime)})).sort((a, b) => a.from - b.from);
    for (const {file, from, to} of sorted) {
      const parts = [{from, to, is: 'window', say: [shown(file.file), ['first entry', file.first + ' ' + file.firstTime], ['last entry', file.last + ' ' + file.lastTime], ['entries', count(file.entries)], ['bytes', size(file.bytes)]]}];
      if (reached !== null && from > reached && file.first !== reachedAt) parts.unshift({from: reached, to: from, is: 'gap', say: ['No entry in common with the file before', ['from', utc(reached)], ['to', utc(from)]]});
      if (reached === null || to >= reached) [reached, reachedAt] = [to, file.last];
      lanes.push({name: shown(file.file), parts});
    }
    const view = new View(...padded(sorted[0].from, reached, 5), 5);
    place('files').before(view.tools());
    new Lanes(place('files'), view, 'What each file covers', lanes);
    place('files').after(meaning([['lane-window', 'a file'], ['lane-gap', 'no entry in common with the file before']]), hint());
  }

  function chains() {
    const all = data.clusters ? data.clusters.flatMap((cluster) => cluster.members.map((member) => ({...member.chain, name: cluster.id + ' ' + member.name}))) : data.chains.map((chain) => ({...chain, name: chain.id}));
    const lanes = [], bytes = [], time = [], starts = [];
    const NAMES = {full: 'Full backup', slice: 'Oplog of the full backup', inc: 'Increment'};
    let first = Infinity, last = -Infinity;
    for (const chain of all) {
      const parts = [];
      if (chain.firstTime) parts.push({from: seconds(chain.firstTime), to: seconds(chain.lastTime), is: 'window'});
      for (const step of chain.steps) {
        const from = seconds(step.firstTime), to = seconds(step.lastTime);
        first = Math.min(first, from);
        last = Math.max(last, to);
        parts.push({from, to, is: step.type === 'inc' ? 'step' : 'full', say: [NAMES[step.type] + (step.type === 'inc' ? ' ' + step.number : ''), ['first entry', step.first + ' ' + step.firstTime],
          ['last entry', step.last + ' ' + step.lastTime], ['entries', count(step.entries)], ['size', size(step.bytes)], ['began', step.startedTime], ['took', step.seconds + ' s']]});
        starts.push(to);
        bytes.push([step.type, step.bytes]);
        time.push([step.type, step.seconds]);
      }
      lanes.push({name: shown(chain.name) + (chain.state === 'open' ? '' : ' (' + chain.state + ')'), parts});
    }
    if (!starts.length) return document.querySelectorAll('.charts').forEach((charts) => charts.remove());
    const windows = {name: 'Restorable', parts: []};
    let reached = null;
    for (const window of data.windows) {
      const from = seconds(window.firstTime), to = seconds(window.lastTime);
      if (reached !== null) windows.parts.push({from: reached, to: from, is: 'gap', say: ['Gap: nothing between can be restored', ['after', utc(reached)], ['before', utc(from)]]});
      windows.parts.push({from, to, is: 'window', say: ['Restorable', ['from', window.first + ' ' + window.firstTime], ['to', window.last + ' ' + window.lastTime]]});
      reached = to;
    }
    const view = new View(...padded(first, last, 5), 5);
    place('chains').before(view.tools());
    new Lanes(place('chains'), view, 'What each chain covers', [windows, ...lanes]);
    place('chains').after(meaning([['lane-full', 'the oplog of a full backup'], ['lane-window', 'restorable, with a line after each increment'], ['lane-gap', 'gap: cannot be restored']]), hint());
    const order = [...starts.keys()].sort((a, b) => starts[a] - starts[b]);
    const series = (values) => [['Full backups', 'c0', (type) => type !== 'inc'], ['Increments', 'c1', (type) => type === 'inc']].map(([name, color, is]) => ({name, color, values: order.map((i) => (is(values[i][0]) ? values[i][1] : 0))}));
    const steps = new View(...padded(first, last + 1, 5), 5), lists = [series(bytes), series(time)], sorted = order.map((i) => starts[i]);
    place('step-bytes').before(steps.tools(), legend(steps, lists));
    new Bars(place('step-bytes'), steps, 'Size of steps', size, sorted, 1, lists[0]);
    new Bars(place('step-seconds'), steps, 'Seconds that steps took', (value) => count(value) + ' s', sorted, 1, lists[1]);
  }

  if (place('operations')) overTime();
  if (place('files')) files();
  if (place('chains')) chains();
})();
