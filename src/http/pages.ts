import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Hono } from 'hono';
import { PAGE_HEADERS } from './security.ts';

// Swagger UI's own files, from the package: no CDN, the service runs without internet.
const ASSETS: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};
const FOLDER = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));

const INIT = `SwaggerUIBundle({
  url: '/openapi.json', dom_id: '#api', deepLinking: true, docExpansion: 'list',
  defaultModelsExpandDepth: 0, persistAuthorization: true, validatorUrl: null,
});
`;

/** The page at `/docs`: the contract for reading, and for trying with a token. */
export function docsPage(): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>Umutungo API</title>
    <link rel="stylesheet" href="/docs/swagger-ui.css" />
    <link rel="icon" href="/docs/favicon-32x32.png" />
  </head>
  <body>
    <noscript>This page needs JavaScript. The contract itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
    <main id="api"></main>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/init.js"></script>
  </body>
</html>`;
}

/** Pages and assets that are not in the contract. */
export function pages(): Hono {
  const app = new Hono();
  app.get('/', (context) => {
    for (const [name, value] of Object.entries(PAGE_HEADERS)) context.header(name, value);
    return context.redirect('/docs');
  });
  app.get('/docs/:asset', async (context) => {
    const asset = context.req.param('asset');
    if (asset === 'init.js')
      return context.body(INIT, 200, {
        ...PAGE_HEADERS,
        'content-type': 'text/javascript; charset=utf-8',
      });
    const type = Object.hasOwn(ASSETS, asset) ? ASSETS[asset] : undefined;
    if (type === undefined) return context.notFound();
    const bytes = await readFile(join(FOLDER, asset));
    return context.body(new Uint8Array(bytes), 200, {
      ...PAGE_HEADERS,
      'content-type': type,
      'cache-control': 'public, max-age=3600',
    });
  });
  return app;
}
