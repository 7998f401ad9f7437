// Runs the module: node run.mjs MODULE
import { readFileSync } from "node:fs";

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const { memory, start, fill, serves, is_empty_and_whole } = new WebAssembly.Instance(module, {}).exports;
const expect = (what, is, expected) => {
  if (is !== expected) {
    console.log(`${what}: ${is}, not ${expected}`);
    process.exit(1);
  }
};
const pages = () => memory.buffer.byteLength / 65536;
start();
const before = pages();
expect("empty at first", is_empty_and_whole(), 1);
expect("bytes intact", fill(20_000_000), 20_000_000);
const after = pages();
expect("it has grown", after > before + 300 && after < before + 400, true);
expect("empty again", is_empty_and_whole(), 1);
expect("bytes intact", fill(20_000_000), 20_000_000);
expect("what it has is enough", pages(), after);
expect("a request of half of it", serves(10_000_000), 1);
expect("a request beyond the reserve", serves(80_000_000), 0);
expect("empty at last", is_empty_and_whole(), 1);
console.log(`figure: WebAssembly: memory grown by extend | from ${before} pages to ${after}`);
