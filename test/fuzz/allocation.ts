/** Counts the bytes of buffers that are made, so that "bounded memory" is a number and not a guess. */

const alloc = Buffer.alloc.bind(Buffer);

/**
 * Runs `run` and returns the size of the largest buffer or array it asked for by size, in bytes or
 * elements. Sees `new Uint8Array(n)`, `new Array(n)` and `Buffer.alloc(n)` of all code, the runtime's
 * own included where it goes through the globals.
 */
export function largestAllocation(run: () => void): number {
  return allocations(run).largest;
}

export function allocations(run: () => void): { largest: number; sum: number } {
  let largest = 0;
  let sum = 0;
  const note = (size: unknown): void => {
    if (typeof size !== "number") return;
    sum += size;
    if (size > largest) largest = size;
  };
  const { Uint8Array: bytes, Array: array } = globalThis;
  const handler: ProxyHandler<typeof Array | typeof Uint8Array> = {
    construct(target, args: unknown[], newTarget) {
      note(args[0]);
      const isPlain = newTarget === globalThis.Array || newTarget === globalThis.Uint8Array;
      return Reflect.construct(target, args, isPlain ? target : newTarget);
    },
  };
  globalThis.Uint8Array = new Proxy(bytes, handler) as typeof Uint8Array;
  globalThis.Array = new Proxy(array, handler) as typeof Array;
  Buffer.alloc = (size: number) => {
    note(size);
    return alloc(size);
  };
  try {
    run();
  } finally {
    globalThis.Uint8Array = bytes;
    globalThis.Array = array;
    Buffer.alloc = alloc;
  }
  return { largest, sum };
}
