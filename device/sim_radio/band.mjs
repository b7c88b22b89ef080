// node band.mjs MICROPYTHON_MJS: runs a band's firmware on the real interpreter. One JSON object a line on stdin and stdout;
// everything is synchronous, so the firmware's bus transfers wait for the host's answers.
import fs from 'node:fs';
import { pathToFileURL } from 'node:url';

const SERVICE_US = 5000; // The firmware's main loop comes round at least this often.
const WRAP = 2 ** 30;
const BAND_FILES = /^[\w-]+\.json$/;

let unread = '';
const chunk = Buffer.alloc(65536);

function receive() {
  for (;;) {
    const end = unread.indexOf('\n');
    if (end >= 0) {
      const line = unread.slice(0, end);
      unread = unread.slice(end + 1);
      return JSON.parse(line);
    }
    const n = fs.readSync(0, chunk);
    if (!n) process.exit(0);
    unread += chunk.toString('latin1', 0, n);
  }
}

function send(message) {
  const data = Buffer.from(JSON.stringify({ ...message, t: now }) + '\n');
  for (let done = 0; done < data.length;) done += fs.writeSync(1, data, done);
}

function ask(message) {
  send(message);
  return receive();
}

let now = 0;
let off = '';
let busError = 0;
let volts = 4.0;
let room = Infinity;
let uniqueId = '';
let resetCause = 1;
let interruptPin = 0;
let watchdog = null;
let fed = 0;
let uartInput = '';
const timers = new Map();
const pins = new Map();

const hw = {
  ticksUs: () => now % WRAP,
  ticksMs: () => Math.floor(now / 1000) % WRAP,
  sleepUs: (us) => sleepTo(now + us),
  getPin: (name) => (pins.get(name) ?? 0) && 1,
  setPin: (name, value) => {
    if (pins.get(name) === value) return;
    pins.set(name, value);
    send({ k: 'pin', name, value });
  },
  i2cRead: (address, register, n) => {
    const reply = ask({ k: 'read', address, register, n });
    busError = reply.errno ?? 0;
    return reply.data ?? '';
  },
  i2cWrite: (address, register, data) => {
    const reply = ask({ k: 'write', address, register, data });
    busError = reply.errno ?? 0;
    return !busError;
  },
  i2cError: () => busError,
  batteryVolts: () => volts,
  startTimer: (number, ms, periodic) => timers.set(number, { at: now + ms * 1000, every: periodic ? ms * 1000 : 0 }),
  stopTimer: (number) => timers.delete(number),
  startWatchdog: (ms) => { watchdog = ms * 1000; fed = now; },
  feedWatchdog: () => { fed = now; },
  uartWrite: (data) => send({ k: 'uart', data }),
  uartAny: () => uartInput.length / 2,
  uartRead: () => { const data = uartInput; uartInput = ''; return data; },
  uniqueId: () => uniqueId,
  resetCause: () => resetCause,
  off: (how) => { off = how; send({ k: 'off', how }); },
  configure: (options) => send({ k: 'config', options }),
  register: (service, uuid, flags, handle) => send({ k: 'register', service, uuid, flags, handle }),
  valueChanged: (handle, data) => send({ k: 'value', handle, data }),
  notify: (handle, data) => {
    if (room <= 0) return false;
    room -= 1;
    send({ k: 'notify', handle, data });
    return true;
  },
  advertise: (data, response) => send({ k: 'advertise', data, response }),
  disconnect: () => send({ k: 'disconnect' }),
};

let python = null;

function nextTimer() {
  let next = null;
  for (const [number, timer] of timers) if (next === null || timer.at < next.timer.at) next = { number, timer };
  return next;
}

function fireTimers(until) {
  for (let next = nextTimer(); next !== null && next.timer.at <= until; next = nextTimer()) {
    now = Math.max(now, next.timer.at);
    if (next.timer.every) next.timer.at += next.timer.every;
    else timers.delete(next.number);
    python.timerFired(next.number);
  }
}

function pass(moment) {
  fireTimers(moment);
  now = Math.max(now, moment);
  if (watchdog !== null && now - fed > watchdog) hw.off('watchdog');
}

// The firmware's main loop, up to a moment before which no interrupt comes.
function serveTo(until) {
  while (now < until && !off) {
    pass(Math.min(until, now + SERVICE_US));
    if (!off) python.service();
  }
}

// The firmware sleeps in the middle of something: interrupts come all the same.
function sleepTo(until) {
  while (now < until && !off) {
    const { at } = ask({ k: 'due', until });
    pass(at ?? until);
    if (at !== null && !off) python.interrupt(interruptPin);
  }
}

const { loadMicroPython } = await import(pathToFileURL(process.argv[2]));
const mp = await loadMicroPython({
  heapsize: 192 * 1024,
  linebuffer: true,
  stdout: (line) => send({ k: 'print', line }),
});
mp.registerJsModule('hw', hw);

function boot(message) {
  ({ id: uniqueId, cause: resetCause, volts, pin: interruptPin } = message);
  now = message.t;
  for (const [name, level] of Object.entries(message.levels)) pins.set(name, level);
  const folders = new Set();
  for (const [name, content] of Object.entries(message.files)) {
    const parts = name.split('/').slice(1, -1);
    parts.forEach((_, i) => {
      const folder = '/' + parts.slice(0, i + 1).join('/');
      if (!folders.has(folder) && !mp.FS.analyzePath(folder).exists) mp.FS.mkdir(folder);
      folders.add(folder);
    });
    mp.FS.writeFile(name, Buffer.from(content, 'hex'));
  }
  for (const [name, text] of Object.entries(message.written)) mp.FS.writeFile(name, text);
  mp.runPython("import sys\nsys.path[:0] = ['/standins', '/']");
  const machine = mp.pyimport('machine');
  const bluetooth = mp.pyimport('bluetooth');
  python = {
    timerFired: machine.timer_fired,
    interrupt: machine.interrupt,
    event: bluetooth.event,
    written: bluetooth.written,
    run: (code) => mp.runPython(code),
  };
  mp.runPython('import main\nband = main.Band()');
  python.service = mp.globals.get('band').service;
}

function files() {
  const found = mp.FS.readdir('/').filter((name) => BAND_FILES.test(name));
  return Object.fromEntries(found.map((name) => ['/' + name, mp.FS.readFile('/' + name, { encoding: 'utf8' })]));
}

function at(moment, happen) {
  serveTo(moment);
  if (!off) happen();
}

const commands = {
  boot,
  run: (m) => serveTo(m.t),
  interrupt: (m) => at(m.t, () => { python.interrupt(interruptPin); python.service(); }),
  event: (m) => at(m.t, () => send({ k: 'kept', value: python.event(m.number, ...m.values) ?? null })),
  written: (m) => at(m.t, () => { python.written(m.handle, m.data); python.service(); }),
  counter: (m) => { const by = m.t - now; now += by; fed += by; for (const timer of timers.values()) timer.at += by; },
  battery: (m) => { volts = m.volts; },
  room: (m) => { room = m.n ?? Infinity; },
  uart: (m) => { uartInput += m.data; },
  python: (m) => { python.run(m.code); },
  files: () => send({ k: 'files', files: files() }),
};

for (;;) {
  const message = receive();
  try {
    commands[message.k](message);
  } catch (error) {
    if (!off) send({ k: 'error', text: String(error.message ?? error) });
  }
  send({ k: 'done' });
}
