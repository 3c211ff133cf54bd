// Signing keys in every form and for every algorithm, verified by node:crypto: another implementation than the one that signs.
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { generateKeys } from '../../pkg-template/keys/generate.js';
import { readPem } from '../../pkg-template/keys/pem-node.js';
import { importJson, importKeys, thumbprint } from '../../pkg-template/keys/webcrypto.js';

const pairs = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'P-521': generateKeyPairSync('ec', { namedCurve: 'P-521' }),
};
const jwk = (name, more = {}) => ({ ...pairs[name].privateKey.export({ format: 'jwk' }), ...more });
const pem = (name, type) => pairs[name].privateKey.export({ format: 'pem', type });

const input = new TextEncoder().encode('eyJhbGciOiJFUzM4NCJ9.eyJpc3MiOiJhcHAifQ');

function isValid(name, alg, signature) {
  const key = { key: pairs[name].publicKey, dsaEncoding: 'ieee-p1363' };
  return verify(`sha${alg.slice(2)}`, input, key, signature);
}

/** What a signer says it has, each signature checked. */
async function algorithms(name, signer) {
  const keys = signer.keys();
  for (const [index, { alg }] of keys.entries()) {
    const signature = await signer.sign(index, input);
    assert.ok(isValid(name, alg, signature), `${name} ${alg}`);
  }
  return keys.map(({ alg }) => alg);
}

test('b02_signatures: every algorithm, by JWK with alg', async () => {
  const sizes = { ES256: 64, ES384: 96, ES512: 132, RS256: 256, RS384: 256, RS512: 256 };
  for (const [name, alg] of [['rsa', 'RS384'], ['P-384', 'ES384'], ['rsa', 'RS256'], ['rsa', 'RS512'], ['P-256', 'ES256'], ['P-521', 'ES512']]) {
    const signer = await importKeys(jwk(name, { alg, kid: 'k1', key_ops: ['sign'], ext: true, use: 'sig' }), readPem);
    assert.deepEqual(signer.keys(), [{ kid: 'k1', alg }]);
    const signature = await signer.sign(0, input);
    assert.equal(signature.length, sizes[alg], 'raw r‖s, not DER');
    assert.ok(isValid(name, alg, signature), alg);
    signature[5] ^= 1;
    assert.ok(!isValid(name, alg, signature));
  }
});

test('b02_signatures: keys without alg offer what they can do, the SMART algorithm first', async () => {
  assert.deepEqual(await algorithms('rsa', await importKeys(jwk('rsa'), readPem)), ['RS384', 'RS256', 'RS512']);
  assert.deepEqual(await algorithms('P-384', await importKeys(JSON.stringify(jwk('P-384')), readPem)), ['ES384']);
  assert.deepEqual(await algorithms('P-256', await importKeys(jwk('P-256'), readPem)), ['ES256']);
  assert.deepEqual(await algorithms('P-521', await importKeys(jwk('P-521'), readPem)), ['ES512']);
});

test('b02_signatures: PEM as PKCS#8, PKCS#1 and SEC1, with the thumbprint as kid', async () => {
  const { privateKey } = pairs.rsa;
  for (const [name, type] of [['rsa', 'pkcs8'], ['rsa', 'pkcs1'], ['P-384', 'pkcs8'], ['P-384', 'sec1'], ['P-256', 'sec1'], ['P-521', 'pkcs8']]) {
    const signer = await importKeys(`\n${pem(name, type)}`, readPem);
    await algorithms(name, signer);
    assert.equal(signer.keys()[0].kid, await thumbprint(jwk(name)));
  }
  // As openssl ecparam writes it: the parameters first.
  const withParameters = `-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n${pem('P-384', 'sec1')}`;
  await assert.doesNotReject(importKeys(withParameters, readPem).catch((e) => assert.fail(e.message)));
  const locked = privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' });
  await assert.rejects(importKeys(locked, readPem), { code: 'usage', message: /passphrase/ });
  const publicPem = createPublicKey(privateKey).export({ format: 'pem', type: 'spki' });
  await assert.rejects(importKeys(publicPem, readPem), { code: 'usage', message: 'No supported private key found in the provided PEM file.' });
  await assert.rejects(importKeys(pem('rsa', 'pkcs8'), undefined), { code: 'usage', message: /PEM/ });
});

test('the thumbprint of RFC 7638 §3.1', async () => {
  const n =
    '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw';
  assert.equal(await thumbprint({ kty: 'RSA', n, e: 'AQAB', alg: 'RS256', kid: '2011-04-29' }), 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs');
});

test('a JWKS: private keys for signing, in their order; the others are passed over', async () => {
  const { d, p, q, dp, dq, qi, ...publicRsa } = jwk('rsa');
  const signer = await importKeys({
    keys: [
      { ...publicRsa, kid: 'public' },
      jwk('P-256', { kid: 'for encryption', use: 'enc' }),
      jwk('P-256', { kid: 'verify only', key_ops: ['verify'] }),
      { kty: 'oct', k: 'AAAA', kid: 'secret' },
      jwk('P-384', { kid: 'first', key_ops: ['sign'] }),
      jwk('rsa', { kid: 'second', alg: 'RS384' }),
    ],
  });
  assert.deepEqual(signer.keys(), [{ kid: 'first', alg: 'ES384' }, { kid: 'second', alg: 'RS384' }]);
  assert.ok(isValid('rsa', 'RS384', await signer.sign(1, input)));
});

test('WebCrypto keys that are not extractable', async () => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-384' };
  const { privateKey, publicKey } = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
  const signer = await importKeys({ key: privateKey, alg: 'ES384', kid: 'browser' });
  assert.deepEqual(signer.keys(), [{ kid: 'browser', alg: 'ES384' }]);
  const signature = await signer.sign(0, input);
  assert.ok(await crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-384' }, publicKey, signature, input));
});

test('bad keys: one clear message, without a word of the key', async () => {
  const { d, ...publicKey } = jwk('P-384');
  const cases = [
    ['not a key', /neither JSON nor PEM/],
    [`{"kty":"EC","d":"${d}"`, /neither JSON nor PEM/],
    [publicKey, /public key/],
    [{ keys: [publicKey] }, /only public keys/],
    [{ keys: [] }, /^No valid private key found in the provided JWKS file\.$/],
    [{}, /No valid private key/],
    [null, /No valid private key/],
    [42, /No valid private key/],
    [jwk('P-384', { alg: 'HS256' }), /HS256/],
    [jwk('P-384', { x: 'AAAA', kid: 'torn' }), /'torn' is damaged/],
    ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----', /No supported private key/],
  ];
  for (const [keys, message] of cases) {
    await assert.rejects(importKeys(keys, readPem), (error) => {
      assert.equal(error.code, 'usage');
      assert.equal(error.exitStatus, 2);
      assert.match(error.message, message);
      assert.ok(!inspect(error).includes(d), 'the key is in the error');
      return true;
    });
  }
});

test('b15_keys: a signer shows nothing of its keys, and they cannot be read back', async () => {
  const secret = jwk('P-384', { kid: 'k' });
  const signer = await importKeys(secret, readPem);
  assert.ok(!inspect(signer, { depth: 9, showHidden: true }).includes(secret.d));
  for (const { key } of await importJson({ keys: [secret, jwk('rsa')] })) {
    assert.equal(key.extractable, false);
    await assert.rejects(crypto.subtle.exportKey('jwk', key));
  }
});

test('keys are made: private ones that sign, public ones that check what they signed, and nothing private in these', async () => {
  const { privateJwks, publicJwks } = await generateKeys();
  const signer = await importKeys(privateJwks);
  assert.deepEqual(signer.keys(), publicJwks.keys.map(({ kid, alg }) => ({ kid, alg })));
  assert.deepEqual(publicJwks.keys.map(({ alg, kty, crv, use, key_ops: ops }) => [alg, kty, crv, use, ops]), [
    ['ES384', 'EC', 'P-384', 'sig', ['verify']],
    ['RS384', 'RSA', undefined, 'sig', ['verify']],
  ]);
  for (const [index, jwk] of publicJwks.keys.entries()) {
    assert.equal(jwk.kid, await thumbprint(jwk));
    assert.deepEqual(Object.keys(jwk).filter((name) => ['d', 'p', 'q', 'dp', 'dq', 'qi'].includes(name)), []);
    const key = { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
    assert.ok(verify('sha384', input, key, await signer.sign(index, input)), jwk.alg);
    assert.deepEqual(privateJwks.keys[index].key_ops, ['sign'], 'the Python smart-fetch wants it');
  }
  assert.equal(createPublicKey({ key: publicJwks.keys[1], format: 'jwk' }).asymmetricKeyDetails.modulusLength, 3072);
  assert.deepEqual((await generateKeys(['RS384'])).publicJwks.keys.map(({ alg }) => alg), ['RS384']);
  for (const wrong of [['HS256'], [], 'ES384', ['toString']]) await assert.rejects(generateKeys(wrong), { code: 'usage' });
});
