// ws.mjs PORT: the least of a server on npm's ws that carries the bench's load:
// every socket listens, and what is posted to /send goes to all of them.
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const server = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    if (request.method === 'POST') {
      const message = Buffer.concat(parts);
      for (const socket of sockets.clients) socket.send(message, { binary: false });
    }
    response.setHeader('content-type', 'application/json; charset=utf-8');
    response.end('{}');
  });
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
