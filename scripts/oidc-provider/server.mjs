// A certified OpenID provider (oidc-provider) for tests, on a free port of loopback: `node server.mjs [PORT]`.
// It prints `listening PORT`, and ends when its standard input is closed, so that it never outlives a test.
//
// Client `svc` gets tokens by client credentials: a JWT for the resource https://api.example.com, an opaque token for
// https://api.example.com/opaque. Client `gate` introspects.
//
//   POST /control/rotate    another key; the one before is gone
//   GET  /control/counts    how often each path was asked for
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const audience = 'https://api.example.com';
const counts = {};
let serve;
let keys = 0;

function client(client_id, client_secret) {
  return {
    client_id,
    client_secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'client_secret_basic',
  };
}

function key() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  keys += 1;
  return { ...privateKey.export({ format: 'jwk' }), kid: `key-${keys}`, alg: 'RS256', use: 'sig' };
}

function provider(issuer) {
  const made = new Provider(issuer, {
    clients: [client('svc', 'svc-secret-svc-secret-svc-secret'), client('gate', 'gate-secret: gate+secret/gate%secret')],
    jwks: { keys: [key()] },
    cookies: { keys: ['only for tests'] },
    scopes: ['read', 'write'],
    extraTokenClaims: () => ({ groups: ['partners', 'readers'] }),
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'read write',
          audience,
          accessTokenTTL: 300,
          accessTokenFormat: resource.endsWith('/opaque') ? 'opaque' : 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  return made.callback();
}

const server = createServer((request, response) => {
  const path = request.url.split('?')[0];
  if (path === '/control/counts') {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(counts));
    return;
  }
  if (path === '/control/rotate') {
    serve = provider(issuer());
    response.end('rotated');
    return;
  }
  counts[path] = (counts[path] ?? 0) + 1;
  serve(request, response);
});

function issuer() {
  return `http://127.0.0.1:${server.address().port}`;
}

server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  serve = provider(issuer());
  console.log(`listening ${server.address().port}`);
});
// Whoever has read the port may close the pipe.
process.stdout.on('error', () => {});
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
