/** Counts the bytes of buffers that are made, so that "bounded memory" is a number and not a guess. */

const alloc = Buffer.alloc.bind(Buffer);

/**
 * Runs `run` and returns the bytes of the largest buffer it asked for by size. Sees `new Uint8Array(n)`
 * and `Buffer.alloc(n)` of all code, the runtime's own included where it goes through the globals.
 */
export function largestAllocation(run: () => void): number {
  let largest = 0;
  const note = (size: unknown): void => {
    if (typeof size === "number" && size > largest) largest = size;
  };
  const { Uint8Array: bytes } = globalThis;
  globalThis.Uint8Array = new Proxy(bytes, {
    construct(target, args: unknown[], newTarget) {
      note(args[0]);
      return Reflect.construct(
        target,
        args,
        newTarget === globalThis.Uint8Array ? target : newTarget,
      );
    },
  });
  Buffer.alloc = (size: number) => {
    note(size);
    return alloc(size);
  };
  try {
    run();
  } finally {
    globalThis.Uint8Array = bytes;
    Buffer.alloc = alloc;
  }
  return largest;
}
