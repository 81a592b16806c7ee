# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes over the wire to an API server: who signs in, as whom, through which proxy, under which certificate."""

from __future__ import annotations

import base64
import datetime
import http.server
import ipaddress
import json
import os
import re
import select
import socket
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins import module_utils
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import MissingLibrary
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _access
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import Access, access_of
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import (
    CredentialPluginFailed,
    InvalidKubeconfig,
    KubernetesError,
    Unreachable,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._http import ApiResponse, HttpTransport
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Json = dict[str, Any]

DEAD = "http://127.0.0.1:9"
ROOMS = [Path(next(iter(module_utils.__path__))) / name for name in ("_kubernetes", "_aks", "_diagnostics")]


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("K8S_AUTH_", "KUBE")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


class Server(http.server.ThreadingHTTPServer):
    """An API server that notes what it is sent, and answers an empty object, or as it is asked to."""

    daemon_threads = True

    def __init__(self) -> None:
        noted: list[tuple[str, str, Message, bytes]] = []
        answers: list[tuple[int, dict[str, str]]] = []
        self.noted, self.answers = noted, answers
        self.connections = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                noted.append((self.command, self.path, self.headers, body))
                status, headers = answers.pop(0) if answers else (200, {})
                self.send_response(status)
                for name, value in {**headers, "Content-Length": "2"}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not accept the certificate, or goes away, is what some tests want."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def last(self) -> Message:
        """The headers of the last request."""
        return self.noted[-1][2]


@pytest.fixture
def serve() -> Iterator[Callable[[], Server]]:
    servers: list[Server] = []

    def start() -> Server:
        servers.append(Server())
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(serve: Callable[[], Server]) -> Server:
    return serve()


class Secrets(list[str]):
    def __call__(self, *values: str | None) -> None:
        self.extend(value for value in values if value)


def access(
    tmp_path: Path, user: Json, cluster: Json, secret: Any = lambda *_unused: None, outputs: Sequence[Json] = ()
) -> Access:
    """An access by a kubeconfig, whose exec plugin prints these credentials in turn."""
    config = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    coming = iter(outputs)

    def execute(*_unused: object) -> tuple[int, str, str]:
        return 0, json.dumps({"kind": "ExecCredential", "status": next(coming)}), ""

    return access_of({"kubeconfig": config}, str(tmp_path), secret, execute)


def client(tmp_path: Path, server: Server, user: Json | None = None) -> Client:
    return Client(access(tmp_path, user or {}, {"server": server.url}))


def test_a_request(tmp_path: Path, server: Server) -> None:
    remote = client(tmp_path, server, {"token": "t0ken"})
    remote.request(
        "PATCH", "/api/v1/x", query={"force": True, "none": None}, body={"ä": [1]}, content_type="application/a+json"
    )
    method, path, headers, body = server.noted[0]
    assert (method, path, json.loads(body)) == ("PATCH", "/api/v1/x?force=true", {"ä": [1]})
    assert headers["Authorization"] == "Bearer t0ken"
    assert (headers["User-Agent"], headers["Content-Type"]) == ("aks.gpu", "application/a+json")


def test_server_side_apply_and_deletion(tmp_path: Path, server: Server) -> None:
    remote = client(tmp_path, server)
    remote.request("PATCH", "/a", body={"kind": "X"}, content_type="application/apply-patch+yaml")
    remote.request("DELETE", "/a", body={"kind": "DeleteOptions"})
    remote.request("DELETE", "/a")
    assert [(method, body) for method, _path, _headers, body in server.noted] == [
        ("PATCH", b'{"kind": "X"}'),
        ("DELETE", b'{"kind": "DeleteOptions"}'),
        ("DELETE", b""),
    ]
    assert [headers["Content-Type"] for _method, _path, headers, _body in server.noted[:2]] == [
        "application/apply-patch+yaml",
        "application/json",
    ]


def test_one_connection_for_a_task(tmp_path: Path, server: Server) -> None:
    remote = client(tmp_path, server)
    for _each in range(5):
        remote.get("/api/v1/nodes")
    assert (len(server.noted), server.connections) == (5, 1)


def test_user_and_password(tmp_path: Path, server: Server) -> None:
    client(tmp_path, server, {"username": "me", "password": "pw"}).get("/")
    assert server.last["Authorization"] == f"Basic {base64.b64encode(b'me:pw').decode()}"


def test_an_exec_plugin_is_asked_again_after_a_401_once(tmp_path: Path, server: Server) -> None:
    user = {"exec": {"command": "login"}}
    found = access(tmp_path, user, {"server": server.url}, outputs=[{"token": "old"}, {"token": "new"}])
    server.answers += [(401, {}), (200, {})]
    Client(found).get("/")
    assert [headers["Authorization"] for _method, _path, headers, _body in server.noted] == ["Bearer old", "Bearer new"]


def test_credentials_that_stay_refused(tmp_path: Path, server: Server) -> None:
    user = {"exec": {"command": "login"}}
    found = access(tmp_path, user, {"server": server.url}, outputs=[{"token": "old"}, {"token": "new"}])
    server.answers += [(401, {}), (401, {})]
    with pytest.raises(CredentialPluginFailed):
        Client(found).get("/")
    assert len(server.noted) == 2


def test_a_redirect_is_not_followed(tmp_path: Path, serve: Callable[[], Server]) -> None:
    server, other = serve(), serve()
    server.answers.append((307, {"Location": f"{other.url}/stolen"}))
    with pytest.raises(KubernetesError) as caught:
        client(tmp_path, server, {"token": "t0ken"}).get("/api")
    assert caught.value.status == 307
    assert other.noted == []


def test_a_failure_is_not_tried_again_by_the_library(tmp_path: Path, server: Server) -> None:
    server.answers += [(503, {"Retry-After": "0"})] * 3
    with pytest.raises(KubernetesError):
        client(tmp_path, server).text("/log")
    assert len(server.noted) == 1


# The headers: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation, whose
# examples these are; the fields: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/#AuthInfo
IMPERSONATING = {
    "token": "t",
    "as": "jane.doe@example.com",
    "as-uid": "06f6ce97-e2c5-4ab8-7ba5-7654dd08d52b",
    "as-groups": ["developers", "admins"],
    "as-user-extra": {"dn": ["cn=jane,ou=engineers,dc=example,dc=com"], "acme.com/project": ["some-project", "two"]},
}
HEADERS = [
    ("Impersonate-User", "jane.doe@example.com"),
    ("Impersonate-Uid", "06f6ce97-e2c5-4ab8-7ba5-7654dd08d52b"),
    ("Impersonate-Group", "developers"),
    ("Impersonate-Group", "admins"),
    ("Impersonate-Extra-dn", "cn=jane,ou=engineers,dc=example,dc=com"),
    ("Impersonate-Extra-acme.com%2Fproject", "some-project"),
    ("Impersonate-Extra-acme.com%2Fproject", "two"),
]


def impersonated(headers: Message) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.startswith("Impersonate-")]


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_impersonation(tmp_path: Path, server: Server, method: str) -> None:
    remote = client(tmp_path, server, IMPERSONATING)
    remote.request(method, "/", body={} if method == "PATCH" else None)
    assert impersonated(server.last) == HEADERS
    assert server.last["Authorization"] == "Bearer t"


def test_impersonation_of_a_name_beyond_latin(tmp_path: Path, server: Server) -> None:
    client(tmp_path, server, {"as": "Ђорђе"}).get("/")
    assert impersonated(server.last)[0][1].encode("latin-1").decode() == "Ђорђе"


def test_impersonation_with_another_token(tmp_path: Path) -> None:
    """As with kubectl's --token, which lays a token over what the context says."""
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://h.invalid"}}],
        "users": [{"name": "u", "user": IMPERSONATING}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    found = access_of(
        {"kubeconfig": config, "api_key": "other"}, str(tmp_path), Secrets(), lambda *_unused: (1, "", "")
    )
    assert (found.credentials.token(), list(found.impersonation)) == ("other", HEADERS)


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ({"as-groups": ["a"]}, "as-groups but not as"),
        ({"as-uid": "1", "as-user-extra": {"a": ["b"]}}, "as-uid, as-user-extra but not as"),
        ({"as": ["a"]}, "must be a name"),
        ({"as": "a", "as-groups": "b"}, "as-groups a list"),
        ({"as": "a", "as-user-extra": {"k": "v"}}, "as-user-extra a dictionary of lists"),
        ({"as": "a", "as-user-extra": ["k"]}, "as-user-extra a dictionary of lists"),
        ({"as": "a\r\nAuthorization: x"}, "control character"),
        ({"auth-provider": {"name": "azure"}}, "auth-provider 'azure', which Kubernetes 1.26 has removed"),
        (
            {"exec": {"command": "login", "interactiveMode": "Always"}},
            "login of the kubeconfig has interactiveMode Always",
        ),
    ],
)
def test_what_would_change_who_acts_is_honoured_or_refused_by_name(tmp_path: Path, user: Json, says: str) -> None:
    """https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/: AuthInfo, ExecConfig."""
    with pytest.raises(InvalidKubeconfig, match=says):
        access(tmp_path, user, {"server": "https://h.invalid"})


def test_a_token_that_no_header_can_hold_is_not_shown(tmp_path: Path, server: Server) -> None:
    with pytest.raises(CredentialPluginFailed) as caught:
        client(tmp_path, server, {"token": "s3cret\r\nX: y"}).get("/")
    assert "s3cret" not in str(caught.value)


def test_a_kubeconfigs_proxy_goes_before_the_environments(
    tmp_path: Path, serve: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in kubectl: https://kubernetes.io/docs/tasks/extend-kubernetes/socks5-proxy-access-api/ (Client
    configuration): proxy-url is asked first, the environment is what is left without it; NO_PROXY is not for it."""
    server, proxy = serve(), serve()
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    proxy_url = proxy.url.replace("//", "//me:pr0xy%21@")
    secrets = Secrets()
    found = access(tmp_path, {"token": "t"}, {"server": server.url, "proxy-url": proxy_url}, secrets)
    Client(found).get("/api")
    assert [path for _method, path, _headers, _body in proxy.noted] == [f"{server.url}/api"]
    assert proxy.last["Proxy-Authorization"] == f"Basic {base64.b64encode(b'me:pr0xy!').decode()}"
    assert server.noted == []
    assert "pr0xy%21" in secrets


@pytest.mark.parametrize(
    ("variables", "through"),
    [({}, True), ({"NO_PROXY": "127.0.0.1"}, False), ({"NO_PROXY": "127.0.0.0/8", "no_proxy": ""}, False)],
)
def test_the_environments_proxy(
    tmp_path: Path,
    serve: Callable[[], Server],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    through: bool,
) -> None:
    server, proxy = serve(), serve()
    for name, value in {"HTTP_PROXY": proxy.url.removeprefix("http://"), "HTTPS_PROXY": DEAD, **variables}.items():
        monkeypatch.setenv(name, value)
    client(tmp_path, server).get("/")
    assert (len(proxy.noted), len(server.noted)) == ((1, 0) if through else (0, 1))


@pytest.mark.parametrize("url", ["ftp://proxy:21", "proxy:3128", "http://"])
def test_a_proxy_of_another_kind_is_refused(tmp_path: Path, url: str) -> None:
    """client-go says so too: `unsupported scheme "ftp", must be http, https, or socks5`."""
    with pytest.raises(InvalidKubeconfig, match="The proxy-url of the kubeconfig's cluster has no scheme of http"):
        access(tmp_path, {}, {"server": "https://h.invalid", "proxy-url": url})


class Socks(socketserver.ThreadingTCPServer):
    """A SOCKS5 proxy (RFC 1928) that leads every name to one server, and notes the names."""

    daemon_threads = True

    def __init__(self, upstream: int) -> None:
        asked: list[tuple[int, str]] = []
        self.asked = asked

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.rfile.read(self.rfile.read(2)[1])
                self.wfile.write(b"\x05\x00")
                _version, _command, _reserved, kind = self.rfile.read(4)
                name = self.rfile.read(self.rfile.read(1)[0] if kind == 3 else 4)
                self.rfile.read(2)
                asked.append((kind, name.decode(errors="replace")))
                self.wfile.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
                with socket.create_connection(("127.0.0.1", upstream)) as other:
                    ends = {self.connection: other, other: self.connection}
                    while True:
                        for ready in select.select(list(ends), [], [])[0]:
                            data = ready.recv(65536)
                            if not data:
                                return
                            ends[ready].sendall(data)

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.mark.parametrize("where", ["kubeconfig", "environment"])
def test_socks(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """The proxy resolves a kubeconfig's server, which only it may know: Go's net/http treats socks5 as socks5h."""
    pytest.importorskip("socks")
    with Socks(server.server_port) as proxy:
        url = f"socks5://127.0.0.1:{proxy.server_address[1]}"
        cluster = {"server": "http://private.example.invalid"}
        if where == "kubeconfig":
            cluster["proxy-url"] = url
        else:
            monkeypatch.setenv("ALL_PROXY", url.replace("socks5", "socks5h"))
        Client(access(tmp_path, {}, cluster)).get("/")
        proxy.shutdown()
    assert proxy.asked == [(3, "private.example.invalid")]
    assert server.last["Host"] == "private.example.invalid"


def test_socks_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    found = access(tmp_path, {}, {"server": "https://h.invalid", "proxy-url": "socks5://me:pr0xy@p:1080"})
    with pytest.raises(
        MissingLibrary, match=r"PySocks can't be imported .*socks5h://p:1080 is a SOCKS proxy"
    ) as caught:
        Client(found)
    assert "pr0xy" not in str(caught.value)


def test_a_socks_proxy_that_is_not_used_needs_no_library(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client(tmp_path, server).get("/")
    assert len(server.noted) == 1


def test_a_proxy_that_is_not_there(tmp_path: Path, server: Server) -> None:
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"The proxy to http://127\.0\.0\.1:\d+ can't be used: .*refused"):
        Client(access(tmp_path, {}, {"server": server.url, "proxy-url": DEAD})).request("GET", "/", retry_seconds=0)
    assert time.monotonic() - started < 2


SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A certificate authority, and what it signs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.certificate = folder / "authority.crt"
        self.certificate.write_bytes(self._sign(self._name, self._key, None))

    def issue(self, name: str, *alternative: x509.GeneralName) -> tuple[bytes, bytes]:
        """A certificate and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._sign(subject, key, alternative), private

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, names: Sequence[x509.GeneralName] | None
    ) -> bytes:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
            # Without these, Python 3.13 and newer do not accept a certificate (VERIFY_X509_STRICT).
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names is None:
            builder = builder.add_extension(SIGNS, critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "authority"
    folder.mkdir()
    return Authority(folder)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


class TlsServer(Server):
    """Asks for a client certificate, and notes whose came."""

    def __init__(self, authority: Authority, folder: Path, *names: x509.GeneralName) -> None:
        super().__init__()
        (folder / "server.pem").write_bytes(b"".join(authority.issue("server", *names)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        context.load_verify_locations(authority.certificate)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.peers: list[str] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        assert isinstance(connection, ssl.SSLSocket)
        certificate: Any = connection.getpeercert() or {"subject": ((("commonName", ""),),)}
        self.peers.append(certificate["subject"][0][0][1])
        return connection, address

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> Iterator[TlsServer]:
    server = TlsServer(authority, tmp_path, x509.DNSName("api.example.invalid"))
    yield server
    server.shutdown()
    server.server_close()


def test_tls_server_name_and_a_client_certificate(tmp_path: Path, authority: Authority, tls: TlsServer) -> None:
    certificate, key = authority.issue("jane")
    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    private = tmp_path / "private"
    private.mkdir()
    cluster = {
        "server": tls.url,
        "certificate-authority-data": encoded(authority.certificate.read_bytes()),
        "tls-server-name": "api.example.invalid",
    }
    before = set(Path(os.environ.get("TMPDIR", "/tmp")).iterdir())
    Client(access(private, user, cluster)).get("/")
    assert tls.peers == ["jane"]
    assert len(list(private.iterdir())) == 3
    left = set(Path(os.environ.get("TMPDIR", "/tmp")).iterdir()) - before
    assert not [path for path in left if b"PRIVATE KEY" in (path.read_bytes() if path.is_file() else b"")]


def test_tls_through_socks(tmp_path: Path, authority: Authority, tls: TlsServer) -> None:
    pytest.importorskip("socks")
    certificate, key = authority.issue("jane")
    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    with Socks(tls.server_port) as proxy:
        cluster = {
            "server": "https://api.example.invalid",
            "certificate-authority": str(authority.certificate),
            "proxy-url": f"socks5://127.0.0.1:{proxy.server_address[1]}",
        }
        Client(access(tmp_path, user, cluster)).get("/")
        proxy.shutdown()
    assert (proxy.asked, tls.peers) == ([(3, "api.example.invalid")], ["jane"])


def test_a_certificate_of_another_name(tmp_path: Path, authority: Authority, tls: TlsServer) -> None:
    cluster = {"server": tls.url, "certificate-authority": str(authority.certificate)}
    with pytest.raises(Unreachable, match=r"The certificate of .* is not accepted: .*127\.0\.0\.1") as caught:
        Client(access(tmp_path, {"token": "t0ken"}, cluster)).get("/")
    assert not caught.value.transient
    assert tls.noted == []


def test_a_certificate_of_an_unknown_authority(tmp_path: Path, tls: TlsServer) -> None:
    cluster = {"server": tls.url, "tls-server-name": "api.example.invalid"}
    with pytest.raises(Unreachable, match=r"is not accepted: .*certificate verify failed"):
        Client(access(tmp_path, {}, cluster)).get("/")
    Client(access(tmp_path, {}, {**cluster, "insecure-skip-tls-verify": True})).get("/")
    assert len(tls.noted) == 1


def test_an_exec_plugin_gives_another_certificate(tmp_path: Path, authority: Authority, tls: TlsServer) -> None:
    outputs = []
    for name in ("first", "second"):
        certificate, key = authority.issue(name)
        outputs.append({"clientCertificateData": certificate.decode(), "clientKeyData": key.decode()})
    cluster = {
        "server": tls.url,
        "certificate-authority": str(authority.certificate),
        "tls-server-name": "api.example.invalid",
    }
    found = access(tmp_path, {"exec": {"command": "login"}}, cluster, outputs=outputs)
    tls.answers.append((401, {}))
    Client(found).get("/")
    assert tls.peers == ["first", "second"]


def test_in_cluster(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables and files of https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/."""
    server = TlsServer(authority, tmp_path, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    for name, content in {"token": "first\n", "namespace": "mine", "ca.crt": authority.certificate.read_text()}.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(_access, "SERVICE_ACCOUNT", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
    found = access_of({}, str(tmp_path), Secrets(), lambda *_unused: (1, "", ""))
    remote = Client(found)
    remote.get("/")
    (tmp_path / "token").write_text("rotated")
    remote.get("/")
    sent = [headers["Authorization"] for _method, _path, headers, _body in server.noted]
    assert (sent, found.namespace) == (["Bearer first", "Bearer rotated"], "mine")
    server.shutdown()
    server.server_close()


def test_a_stream_over_tls_is_interrupted_from_another_thread(tmp_path: Path, authority: Authority) -> None:
    """A watch that is silent ends at once when its wait ends."""
    server = TlsServer(authority, tmp_path, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    waiting = threading.Event()

    def hold(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"4\r\none\n\r\n")
        waiting.wait(20)

    server.RequestHandlerClass.do_GET = hold  # type: ignore[attr-defined]
    cluster = {"server": server.url, "certificate-authority": str(authority.certificate)}
    answer: ApiResponse = HttpTransport(access(tmp_path, {}, cluster)).send("GET", "/", {}, None, 30.0, stream=True)
    assert answer.stream is not None
    lines = answer.stream.lines()
    assert next(lines) == b"one"
    threading.Timer(0.3, answer.stream.interrupt).start()
    started = time.monotonic()
    with pytest.raises(Unreachable, match="ended a response early"):
        next(lines)
    assert time.monotonic() - started < 2
    answer.stream.interrupt()
    answer.stream.close()
    answer.stream.interrupt()
    waiting.set()
    server.shutdown()
    server.server_close()


def test_nothing_but_the_door_opens_connections_or_holds_tokens() -> None:
    """Two files know HTTP, TLS, pools and the header of a token: the door, and what differs between releases."""
    known = re.compile(
        r"^\s*(?:import|from)\s+(?:requests|urllib3|http\.client|ssl|kubernetes|urllib\.request)\b|"
        r"\bAuthorization\b|\bBearer \b|\bSession\(|PoolManager|SSLContext|HTTPAdapter",
        re.MULTILINE,
    )
    found = {
        path.name for room in ROOMS for path in room.glob("*.py") if known.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"_http.py", "_official_client.py"}
