"""Keys and certificates of a control plane: made when it starts, gone with its folder.

Everybody is a certificate: the common name is the user, the organisations are the groups.
"""

import base64
import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=1)
CONTEXT = "saga-test"


@dataclass(frozen=True, slots=True)
class Credential:
    """A key and its certificate, as files."""

    certificate: Path
    """PEM."""
    key: Path
    """PEM."""


class Authority:
    """Signs certificates, and writes everything into one folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        folder.chmod(0o700)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("saga-test-authority")
        signed = _unsigned(self._name, self._name, self._key.public_key())
        signed = signed.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = folder / "authority.crt"
        self.certificate.write_bytes(_pem(signed.sign(self._key, hashes.SHA256())))

    def server(self, name: str, hosts: Sequence[str]) -> Credential:
        """A server's.

        Args:
            name: of the files.
            hosts: names and addresses that it is reached by.
        """
        known_as = x509.SubjectAlternativeName([_general(host) for host in hosts])
        return self._issue(_name(name), name, ExtendedKeyUsageOID.SERVER_AUTH, known_as)

    def client(self, user: str, *groups: str) -> Credential:
        """A user's."""
        file = user.replace(":", "-").replace("/", "-")
        return self._issue(_name(user, *groups), file, ExtendedKeyUsageOID.CLIENT_AUTH)

    def kubeconfig(self, server: str, user: str, *groups: str) -> Path:
        """A kubeconfig with which one is that user."""
        credential = self.client(user, *groups)
        path = credential.key.with_suffix(".kubeconfig")
        path.write_text(yaml.safe_dump(kubeconfig(server, self.certificate, credential)))
        path.chmod(0o600)
        return path

    def signing_key(self) -> Credential:
        """What service accounts' tokens are signed with; its certificate is the public key."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = Credential(self.folder / "accounts.pub", self.folder / "accounts.key")
        made.certificate.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        _write_key(key, made.key)
        return made

    def _issue(
        self, name: x509.Name, file: str, usage: Any, *extensions: x509.ExtensionType
    ) -> Credential:
        key = ec.generate_private_key(ec.SECP256R1())
        unsigned = _unsigned(name, self._name, key.public_key())
        for extension in (x509.ExtendedKeyUsage([usage]), *extensions):
            unsigned = unsigned.add_extension(extension, critical=False)
        made = Credential(self.folder / f"{file}.crt", self.folder / f"{file}.key")
        made.certificate.write_bytes(_pem(unsigned.sign(self._key, hashes.SHA256())))
        _write_key(key, made.key)
        return made


def kubeconfig(server: str, authority: Path, credential: Credential) -> dict[str, Any]:
    """A kubeconfig with one context, everything inside it."""
    cluster = {"server": server, "certificate-authority-data": _inside(authority)}
    user = {
        "client-certificate-data": _inside(credential.certificate),
        "client-key-data": _inside(credential.key),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": user}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
        "current-context": CONTEXT,
    }


def _unsigned(name: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
    )


def _name(common: str, *groups: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_key(key: ec.EllipticCurvePrivateKey, path: Path) -> None:
    # TraditionalOpenSSL: the API server takes "EC PRIVATE KEY" for signing tokens too.
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)


def _inside(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
