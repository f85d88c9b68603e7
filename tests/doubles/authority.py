"""An authority of a fleet and its certificates, made by openssl. Stands for what the role does on hosts."""

import subprocess
from pathlib import Path

_LEAF = (
    "basicConstraints=critical,CA:FALSE\n"
    "keyUsage=critical,digitalSignature\n"
    "extendedKeyUsage=serverAuth,clientAuth\n"
    "subjectAltName=IP:{address}\n"
    "subjectKeyIdentifier=hash\n"
    "authorityKeyIdentifier=keyid\n"
)
_AUTHORITY = (
    "[req]\ndistinguished_name=dn\nx509_extensions=v3\n[dn]\n[v3]\n"
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
)
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make(folder: Path) -> Path:
    """Makes an authority in a folder: ca.pem and ca.key; returns the folder."""
    folder.mkdir(parents=True)
    (folder / "ca.cnf").write_text(_AUTHORITY)
    _openssl(
        *("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30"),
        *("-subj", "/CN=sdops fleet", "-config", "ca.cnf"),
        folder=folder,
    )
    return folder


def sign(folder: Path, name: str, address: str = "127.0.0.1", days: int = 30) -> dict[str, str]:
    """A host's certificate; the fields of fleet.json that name files. days: that it is valid, or was."""
    (folder / f"{name}.ext").write_text(_LEAF.format(address=address))
    _openssl(
        *("req", "-new", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"),
        folder=folder,
    )
    _openssl(
        *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", f"{name}.pem", "-days", str(days), "-extfile", f"{name}.ext"),
        folder=folder,
    )
    return {
        "authority": str(folder / "ca.pem"),
        "certificate": str(folder / f"{name}.pem"),
        "key": str(folder / f"{name}.key"),
    }


def _openssl(*words: str, folder: Path) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
