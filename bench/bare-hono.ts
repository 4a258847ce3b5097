/** The reference for HTTP: a Hono route that parses the same JSON body and answers a line. */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';

const app = new Hono();
app.post('/', async (context) => {
  const body: unknown = await context.req.json();
  return context.json({ ok: typeof body === 'object' });
});
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
  console.log(`http://127.0.0.1:${port}`),
);
