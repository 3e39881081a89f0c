// Verify the DSSE envelope of a Sigstore bundle with @sigstore/verify: an implementation that is not sigstore-python.
//
//   node verify.mjs TRUSTED_ROOT.json BUNDLE.json IDENTITY ISSUER
//
// Prints one line of JSON: {"verified": true, …} and exits 0, or {"verified": false, "code": …, "message": …} and exits 1.
// What prints no such line did not come to a verdict.

import { readFileSync } from "node:fs";

import { bundleFromJSON, isBundleWithDsseEnvelope } from "@sigstore/bundle";
import { TrustedRoot } from "@sigstore/protobuf-specs";
import { toSignedEntity, toTrustMaterial, Verifier } from "@sigstore/verify";

const refusal = (code, message) => Object.assign(new Error(message), { code });

// The library takes a name for a regular expression, and searches with it.
const exactly = (name) => `^${name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}$`;

function verify(root, data, identity, issuer) {
  const bundle = bundleFromJSON(data);
  if (!isBundleWithDsseEnvelope(bundle)) {
    throw refusal("NO_ENVELOPE", "the bundle has no DSSE envelope");
  }
  // The library takes the time of an entry whether or not the log promised it: without a promise an authority must stamp.
  const promised = bundle.verificationMaterial.tlogEntries.every((entry) => entry.inclusionPromise);
  const thresholds = { ctlogThreshold: 1, tlogThreshold: 1, tsaThreshold: promised ? 0 : 1 };
  const policy = { subjectAlternativeName: exactly(identity), extensions: { issuer } };
  return new Verifier(toTrustMaterial(root), thresholds).verify(toSignedEntity(bundle), policy).identity;
}

// What an error says, and what its causes say; that of a malformed bundle lists the fields.
function reasons(error) {
  return error ? [error.message, ...(error.fields ?? []), ...reasons(error.cause)] : [];
}

const [root, bundle, identity, issuer] = process.argv.slice(2);
if (issuer === undefined) {
  throw new Error("usage: node verify.mjs TRUSTED_ROOT.json BUNDLE.json IDENTITY ISSUER");
}
const trusted = TrustedRoot.fromJSON(JSON.parse(readFileSync(root, "utf8")));
const text = readFileSync(bundle, "utf8");
let verdict;
try {
  const { subjectAlternativeName, extensions } = verify(trusted, JSON.parse(text), identity, issuer);
  verdict = { verified: true, identity: subjectAlternativeName, issuer: extensions.issuer };
} catch (error) {
  verdict = { verified: false, code: error.code ?? error.constructor.name, message: reasons(error).join(": ") };
}
console.log(JSON.stringify(verdict));
process.exitCode = verdict.verified ? 0 : 1;
