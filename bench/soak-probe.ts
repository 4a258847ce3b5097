/** Loaded into the service by `soak.ts`: says how much memory is left in use when it has cleaned up. */
process.on('message', () => {
  globalThis.gc?.();
  process.send?.(process.memoryUsage());
});
// The channel alone keeps nothing running.
process.channel?.unref();
