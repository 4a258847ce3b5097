# The service beside a PostgreSQL of its own; see docker-compose.yml.
FROM node:24-slim
WORKDIR /app
ENV NODE_ENV=production
COPY package.json package-lock.json ./
# No embedded server and no tools of development: only what the service needs to run.
RUN npm ci --omit=dev --omit=optional
COPY src src
COPY openapi openapi
COPY policies policies
COPY migrations migrations
COPY demo demo
COPY verifier verifier
RUN mkdir /data && chown node:node /data
USER node
ENV DATA_DIR=/data HOST=0.0.0.0 PORT=8080
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s CMD ["node", "-e", "fetch('http://127.0.0.1:8080/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "src/main.ts"]
