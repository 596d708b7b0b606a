// Seals the same 4 MiB again and again with tweetnacl and prints how much processor time each call took, in microseconds.
// Arguments: the package's folder, how many bytes, how many calls. What is counted is the time of the whole process: only
// under `node --single-threaded` is that the time of the thread that seals.
"use strict";
const [folder, bytes, calls] = process.argv.slice(2);
const nacl = require(folder);
const plain = nacl.randomBytes(65536);
const whole = new Uint8Array(Number(bytes));
for (let at = 0; at < whole.length; at += plain.length) whole.set(plain.subarray(0, whole.length - at), at);
const key = new Uint8Array(32).fill(7);
const nonce = new Uint8Array(24).fill(9);
const times = [];
// The first calls are compiled while they run: they are made, and left out.
for (let call = -3; call < Number(calls); call += 1) {
  const begun = process.cpuUsage();
  nacl.secretbox(whole, nonce, key);
  const { user, system } = process.cpuUsage(begun);
  if (call >= 0) times.push(user + system);
}
console.log(JSON.stringify(times));
