// SPDX-License-Identifier: GPL-2.0-or-later
// Node: code hot enough for TurboFan, deoptimization, exceptions, regular expressions, BigInt, WebAssembly, workers with shared memory.
'use strict';
const { Worker, isMainThread, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');

if (!isMainThread) {
	const a = new Int32Array(workerData);
	for (let i = 0; i < 20000; i++)
		Atomics.add(a, i & 3, 1);
	Atomics.add(a, 8, 1);
	Atomics.notify(a, 8);
} else {
	const n = Number(process.argv[2] || 20000);
	let seed = 1;
	const rnd = () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8;
	class V { constructor(x, y) { this.x = x; this.y = y; } add(o) { return new V(this.x + o.x, this.y + o.y); } }
	let v = new V(0, 0);
	for (let i = 0; i < n * 10; i++)
		v = v.add(new V(i % 7, 1 / (i + 1)));
	console.log(v.x, v.y);
	const hot = (a, b) => a + b;
	let s = 0;
	for (let i = 0; i < n * 10; i++)
		s = hot(s, i) | 0;
	console.log(s, hot('a', 1), hot(2 ** 31, 2 ** 31), hot(0.1, 0.2), hot(10n, 20n), hot(null, 1));
	let caught = 0;
	for (let i = 0; i < n; i++) {
		try {
			if (i % 3 === 0) throw new RangeError(String(i));
			if (i % 5 === 0) null.x;
		} catch (e) {
			caught += e instanceof RangeError ? Number(e.message) : 1;
		} finally {
			caught ^= i;
		}
	}
	console.log(caught);
	const words = Array.from({ length: n }, () => (rnd() % 100000).toString(36));
	words.sort();
	const text = words.join(' ');
	console.log((text.match(/\b(\w)\w*\1\b/g) || []).length, text.replace(/[aeiou]+/g, m => m.toUpperCase()).slice(0, 60));
	console.log(crypto.createHash('sha256').update(text).digest('hex'), zlib.crc32 ? '' : zlib.deflateSync(text, { level: 9 }).length);
	let f = 1n;
	for (let i = 1n; i < 400n; i++)
		f *= i;
	console.log(crypto.createHash('md5').update(f.toString()).digest('hex'), (f % 1000000007n).toString());
	const d = new Float64Array(n).map((_, i) => Math.sin(i) * 1000);
	console.log(d.reduce((a, b) => a + b, 0), new Float32Array(d).sort()[n >> 1], new Uint8ClampedArray(d).reduce((a, b) => a + b));
	const m = new Map();
	for (let i = 0; i < n; i++)
		m.set(rnd() % 500, (m.get(rnd() % 500) || 0) + i);
	console.log(m.size, [...m.values()].reduce((a, b) => (a * 31 + b) | 0, 7));
	function* gen(k) { for (let i = 0; i < k; i++) yield i * i; }
	console.log([...gen(10)].join(), JSON.stringify({ a: [1, { b: 2 }], c: new Date(0) }));
	// (func (param i32) (result i32): loop that sums i * i, and traps by unreachable when the parameter is 0)
	const wasm = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 37, 1, 35, 1, 1, 127,
		32, 0, 69, 4, 64, 0, 11, 3, 64, 32, 1, 32, 0, 32, 0, 108, 106, 33, 1, 32, 0, 65, 1, 107, 34, 0, 13, 0, 11, 32, 1, 11]);
	try {
		const f2 = new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports.f;
		console.log(f2(n), f2(3));
		try { f2(0); } catch (e) { console.log(e.message); }
	} catch (e) { console.log('wasm: ' + e.message); }
	try { (function deep() { deep(); })(); } catch (e) { console.log(e.name); }
	const shared = new SharedArrayBuffer(64), a = new Int32Array(shared);
	let left = 4;
	for (let i = 0; i < 4; i++)
		new Worker(__filename, { workerData: shared }).on('exit', () => { if (!--left) console.log(Array.from(a.slice(0, 9)).join()); });
}
