// An HTTP/2 server that stands where a proxy would, without a control behind it: each request ends as the test says.
import http2 from 'node:http2';
import {once} from 'node:events';

const {NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR, NGHTTP2_REFUSED_STREAM} = http2.constants;

// How proxies say that there is no control for the moment.
export const WAYS = {
  'UNAVAILABLE in trailers alone, as Envoy': (stream) => stream.respond(
    {':status': 200, 'content-type': 'application/grpc', 'grpc-status': '14', 'grpc-message': 'no healthy upstream'}, {endStream: true}),
  '502 with a page, as nginx': (stream) => {
    stream.respond({':status': 502, 'content-type': 'text/html'});
    stream.end('<html>', () => stream.close(NGHTTP2_NO_ERROR));
  },
  '503, as HAProxy': (stream) => stream.respond({':status': 503}, {endStream: true}),
  '504 after headers': (stream) => stream.respond({':status': 504}, {endStream: true}),
  'a stream that is reset': (stream) => stream.close(NGHTTP2_INTERNAL_ERROR),
  'a stream that is refused': (stream) => stream.close(NGHTTP2_REFUSED_STREAM),
  'a connection that is cut': (stream) => stream.session.destroy(),
};
export const hangs = () => {};

// `end(stream, headers)` ends the requests. Keeps what came on streams.
export async function startProxy(scope, end) {
  const proxy = {requests: [], bytes: 0, text: ''};
  const sessions = new Set();
  const server = http2.createServer()
    .on('session', (session) => sessions.add(session.on('error', () => {})))
    .on('stream', (stream, headers) => {
      proxy.requests.push(headers[':path']);
      stream.on('error', () => {}).on('data', (bytes) => {
        proxy.bytes += bytes.length;
        proxy.text += bytes.toString('latin1');
      });
      end(stream, headers);
    }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy.stop = async () => {
    for (const one of sessions) one.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  scope.own({close: proxy.stop});
  proxy.port = server.address().port;
  proxy.address = `127.0.0.1:${proxy.port}`;
  return proxy;
}
