// An ordinary client of the service orders. It knows the service's base URL and nothing
// of a proxy.

const base = process.argv[2];

// report prints what became of a request.
async function report(name, answer) {
  const response = await answer;
  console.log(JSON.stringify({ case: name, status: response.status, body: await response.text() }));
}

await report("get", fetch(base + "/api/orders"));
await report("post", fetch(base + "/api/orders", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ item: "tea" }),
}));

// Of a length that nobody knows: it goes in chunks.
const upload = new ReadableStream({
  start(to) {
    for (const piece of ["one ", "two ", "three"]) to.enqueue(new TextEncoder().encode(piece));
    to.close();
  },
});
await report("upload", fetch(base + "/items/7", { method: "PUT", body: upload, duplex: "half" }));
await report("again", fetch(base + "/api/orders"));
