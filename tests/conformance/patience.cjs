// Loaded with `node --require`: the suite aborts some streams after a second or less, in which a busy machine may not
// have sent their first message. Timers that abort something are put off; those that only wait, wait as ever.
const FACTOR = 10;

const { setTimeout } = globalThis;

function patient(callback, delay, ...rest) {
  const aborts = typeof callback === "function" && Function.prototype.toString.call(callback).includes(".abort(");
  return setTimeout(callback, aborts ? delay * FACTOR : delay, ...rest);
}

// What `util.promisify` looks for.
globalThis.setTimeout = Object.assign(patient, setTimeout);
