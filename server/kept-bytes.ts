/** Bytes out of a larger piece that are kept when the piece is not needed any more. */

/** A shorter one is copied: a view is dearer than its bytes, and so is every later look at what it shows. */
const viewedBytesMin = 4 << 10;
/** Nor is a view taken of more than so many times its length, which it would keep in memory. */
const viewedShareMax = 2;

/** `data` from `start` to `end`: a copy or, where that is cheaper, a view. `data` is never changed again. */
export function keptBytes(data: Uint8Array, start = 0, end = data.byteLength): Uint8Array {
  const length = end - start;
  // A `Buffer`'s own slice would be a view.
  const isCopied = length < viewedBytesMin || length * viewedShareMax < data.buffer.byteLength;
  if (isCopied) return Uint8Array.prototype.slice.call(data, start, end);
  return data.subarray(start, end);
}
