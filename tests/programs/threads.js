// Threads with heaps of their own, which make and drop buffers, and compress.
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");
const zlib = require("zlib");

if (isMainThread) {
    const sums = [];
    let running = 4;
    for (let number = 0; number < 4; number++) {
        const worker = new Worker(__filename, { workerData: number });
        worker.on("message", (sum) => (sums[number] = sum));
        worker.on("exit", () => --running || console.log(sums.join("\n")));
    }
} else {
    const buffers = [];
    for (let i = 0; i < 10000; i++) {
        buffers.push(Buffer.alloc(100 + (i % 3000), (i + workerData) % 256));
        if (i % 3) buffers[i >> 1] = null;
    }
    const sum = buffers.reduce((sum, buffer) => sum + (buffer ? buffer[0] + buffer.length : 0), 0);
    const table = Array.from({ length: 5000 }, (_, i) => ({ i, text: "x".repeat(i % 50) }));
    parentPort.postMessage(`${sum}:${zlib.gunzipSync(zlib.gzipSync(JSON.stringify(table))).length}`);
}
