// Server-sent events: bytes in, the data of each event out.

/** The data of each event of `chunks` (an async iterable of `Uint8Array`), until `[DONE]` or the end. */
export async function* events(chunks) {
  const decoder = new TextDecoder();
  let rest = "";
  let data = [];
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop();
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line.startsWith("data:")) {
        data.push(line.slice(line[5] === " " ? 6 : 5));
      } else if (line === "" && data.length > 0) {
        const whole = data.join("\n");
        data = [];
        if (whole === "[DONE]") return;
        yield whole;
      }
    }
  }
}
