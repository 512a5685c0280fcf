"""Certomancer as a responder with a table of PKIs, most of them broken: broken_pkis.py STAPLERD.

For each row a PKI is made, certomancer answers for it on 127.0.0.1, `STAPLERD fetch` asks, and the
first word of its last line must be the row's verdict. What certomancer makes has nothing of staplerd's
own code in it."""

import datetime
import pathlib
import subprocess
import sys
import tempfile
import threading

import yaml
from asn1crypto import pem
from certomancer.integrations.animator import Animator, AnimatorArchStore
from certomancer.registry import CertLabel
from certomancer.registry.config import CertomancerConfig
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from werkzeug.serving import WSGIRequestHandler, make_server

NOW = datetime.datetime.now(tz=datetime.timezone.utc)
SECOND = NOW.replace(microsecond=0)
DAY = datetime.timedelta(days=1)

# Extensions of certificates, as certomancer's configuration writes them.
CA = [
    {"id": "basic_constraints", "critical": True, "value": {"ca": True}},
    {"id": "key_usage", "critical": True, "smart-value": {"schema": "key-usage", "params": ["key_cert_sign", "crl_sign"]}},
]
IS_CA = {"id": "basic_constraints", "critical": True, "value": {"ca": True}}
SIGNING = {"id": "extended_key_usage", "value": ["ocsp_signing"]}
ANY_PURPOSE = {"id": "extended_key_usage", "value": ["any_extended_key_usage"]}
NO_CHECK = {"id": "ocsp_no_check", "value": None}
CRL_SIGN_ONLY = {"id": "key_usage", "critical": True, "smart-value": {"schema": "key-usage", "params": ["crl_sign"]}}
DELEGATE = [SIGNING, NO_CHECK]

# What a row changes: the delegate's certificate, the service, the moment at which it answers, or the
# certificate asked about; and the verdict that has to be given.
ROWS = {
    "a proper delegate": ("good", {}),
    "fractional seconds, certomancer's default": ("reject:malformed", {"time": SECOND + datetime.timedelta(microseconds=364362)}),
    "the issuer signs": ("good", {"service": {"responder-cert": "issuer", "signing-key": "issuer"}}),
    "a delegate that is a CA": ("reject:delegate_is_authority", {"extensions": [IS_CA, SIGNING, NO_CHECK]}),
    "a delegate without extended key usage": ("reject:delegate_no_ocsp_signing", {"extensions": [NO_CHECK]}),
    "a delegate for any purpose": ("reject:delegate_no_ocsp_signing", {"extensions": [ANY_PURPOSE, NO_CHECK]}),
    "a delegate whose key may sign CRLs only": ("reject:delegate_no_digital_signature", {"extensions": [CRL_SIGN_ONLY, *DELEGATE]}),
    "a delegate of another CA": ("reject:delegate_wrong_issuer", {"delegate": {"issuer": "root", "authority-key": "root"}}),
    "a delegate that has expired": ("reject:delegate_expired", {"delegate": {"validity": [SECOND - 20 * DAY, SECOND - DAY]}}),
    "a delegate that is not valid yet": ("reject:delegate_not_yet_valid", {"delegate": {"validity": [SECOND + DAY, SECOND + 9 * DAY]}}),
    "a delegate with an RSA key": ("good", {"keys": {"delegate": "rsa"}}),
    "RSASSA-PSS with a salt of 222 octets": ("reject:unsupported_signature", {"keys": {"delegate": "rsa"}, "service": {"signature-algo": "rsassa_pss"}}),
    "SHA-1": ("reject:weak_signature", {"keys": {"delegate": "rsa"}, "service": {"digest-algo": "sha1"}}),
    "another key than the delegate's": ("reject:bad_signature", {"service": {"signing-key": "root"}}),
    "a response of last month": ("reject:expired", {"time": SECOND - 31 * DAY}),
    "a response of tomorrow": ("reject:not_yet_valid", {"time": SECOND + DAY}),
    "no nextUpdate": ("good", {"service": {"validity-period": {}}}),
    "a critical extension that nobody knows": (
        "reject:unknown_critical_extension",
        {"service": {"ocsp-extensions": [{"id": "2.16.840.1.113730.1.13", "critical": True, "smart-value": {"schema": "der-bytes", "params": "0500"}}]}},
    ),
    "a revoked certificate": ("revoked", {"leaf": {"revocation": {"revoked-since": SECOND - DAY, "reason": "key_compromise"}}}),
}


def key_file(folder, name, kind):
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    path = folder / f"{name}.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path.name


def configuration(folder, port, row):
    names = ["root", "issuer", "delegate", "leaf"]
    kinds = row.get("keys", {})
    keys = {name: {"path": key_file(folder, name, kinds.get(name))} for name in names}
    valid = {"valid-from": (SECOND - 60 * DAY).isoformat(), "valid-to": (SECOND + 60 * DAY).isoformat()}

    def certificate(subject, issuer, extensions, changes=()):
        spec = {
            "subject": subject,
            "issuer": issuer,
            "subject-key": subject,
            "authority-key": issuer,
            "validity": valid,
            "extensions": extensions,
            **dict(changes),
        }
        if isinstance(spec["validity"], list):
            start, end = spec["validity"]
            spec["validity"] = {"valid-from": start.isoformat(), "valid-to": end.isoformat()}
        if "revocation" in spec:
            spec["revocation"] = {**spec["revocation"], "revoked-since": spec["revocation"]["revoked-since"].isoformat()}
        return spec

    access = {
        "id": "authority_information_access",
        "smart-value": {"schema": "aia-urls", "params": {"ocsp-responder-names": ["responder"]}},
    }
    extensions = row.get("extensions", DELEGATE)
    return {
        "external-url-prefix": f"http://127.0.0.1:{port}",
        "keysets": {"keys": {"path-prefix": ".", "keys": keys}},
        "pki-architectures": {
            "pki": {
                "keyset": "keys",
                "entities": {name: {"common-name": name} for name in names},
                "certs": {
                    "root": certificate("root", "root", CA),
                    "issuer": certificate("issuer", "root", CA),
                    "delegate": certificate("delegate", "issuer", extensions, row.get("delegate", {})),
                    "leaf": certificate("leaf", "issuer", [access], row.get("leaf", {})),
                },
                "services": {
                    "ocsp": {
                        "responder": {
                            "for-issuer": "issuer",
                            "responder-cert": "delegate",
                            "issuer-cert": "issuer",
                            "validity-period": {"days": 4},
                            **row.get("service", {}),
                        }
                    }
                },
            }
        },
    }


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


def verdict(staplerd, folder, row):
    application = []
    server = make_server("127.0.0.1", 0, lambda *call: application[0](*call), request_handler=Quiet)
    config = folder / "certomancer.yml"
    config.write_text(yaml.safe_dump(configuration(folder, server.server_port, row)))
    architectures = CertomancerConfig.from_file(str(config)).pki_archs
    application.append(Animator(AnimatorArchStore(architectures), at_time=row.get("time", SECOND), with_web_ui=False))
    certificates = next(iter(architectures.values()))
    bundle = folder / "bundle.pem"
    bundle.write_bytes(
        b"".join(
            pem.armor("CERTIFICATE", certificates.get_cert(CertLabel(name)).dump()) for name in ("leaf", "issuer")
        )
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        command = [staplerd, "fetch", bundle, "--allow-addresses", f"127.0.0.1:{server.server_port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    finally:
        server.shutdown()
    lines = done.stdout.splitlines()
    return (lines[-1] if lines else "") + done.stderr


wrong = 0
for name, (wanted, row) in ROWS.items():
    with tempfile.TemporaryDirectory() as folder:
        said = verdict(sys.argv[1], pathlib.Path(folder), row)
    if said.split(" ")[:1] != [wanted]:
        wrong += 1
        print(f"WRONG: {name}: wanted {wanted}, got {said}", file=sys.stderr)
print(f"certomancer: {len(ROWS)} PKIs")
sys.exit(wrong > 0)
