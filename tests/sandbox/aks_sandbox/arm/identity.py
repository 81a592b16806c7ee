"""Sign-in: the token service as Entra ID answers, and the managed identity endpoints of a virtual machine.

Access tokens are JSON Web Tokens, signed RS256 with a key of the sandbox's own that `keys` publishes, so that API
servers can check them; to clients they are opaque, as Entra's are meant to be.

Witness: Microsoft's pages on the token endpoint, its AADSTS codes, managed identities on virtual machines and in App
Service; MSAL, azure-identity and az sign in unmodified.
No witness: the texts of refused tokens (401), and of managed identity's errors.
"""

from __future__ import annotations

import base64
import datetime
import hmac
import json
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from ..entra import EntraId
from .calls import Call, Reply
from .errors import ArmError, GatewayError
from .world import World

Json = dict[str, Any]

_KEY_ID = "aks-sandbox"

AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")


@dataclass
class Principal:
    """Somebody who can sign in.

    Attributes:
        role: a key of `authorization.ROLES`.
        secret, password: what proves it, where it has one.
        certificate_sha1, public_key: of the certificate that proves it.
        subject: of the federated token that proves it.
    """

    name: str
    client_id: str
    object_id: str
    role: str
    secret: str | None = None
    user: str | None = None
    password: str | None = None
    certificate_sha1: bytes | None = None
    certificate_sha256: bytes | None = None
    public_key: rsa.RSAPublicKey | None = None
    subject: str | None = None
    resource_id: str | None = None


@dataclass
class Certificate:
    """A client certificate for a principal: PEM of certificate and key, and SHA-1 thumbprint in hex."""

    pem: str
    thumbprint: str


class SignInError(ArmError):
    """A refusal of the token service: `AADSTS…`."""

    def __init__(self, status: int, error: str, number: int, text: str) -> None:
        super().__init__(status, error, text)
        self.number = number

    def body(self) -> Json:
        now = time.gmtime()
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        stamp = time.strftime("%Y-%m-%d %H:%M:%SZ", now)
        return {
            "error": self.code,
            "error_description": f"AADSTS{self.number}: {self.message} Trace ID: {trace} Correlation ID: {correlation} "
            f"Timestamp: {stamp}",
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
        }


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def stable_id(name: str) -> str:
    """A GUID that is the same in every sandbox."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://aks-gpu.example/{name}"))


@dataclass
class Identity:
    """The principals of one tenant and the tokens they hold."""

    world: World
    tenant: str
    principals: list[Principal] = field(default_factory=list)
    identity_header: str = field(default_factory=lambda: secrets.token_hex(16))
    world_url: str = ""
    _key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    _known: dict[str, tuple[Principal, Json]] = field(default_factory=dict)

    def add_defaults(self) -> None:
        """The principals that every sandbox has."""
        for name, role in (
            ("default", "least-privilege"),
            ("owner", "owner"),
            ("stranger", "none"),
            ("monitoring", "monitoring"),
        ):
            self.principals.append(
                Principal(
                    name,
                    stable_id(f"{name}/client"),
                    stable_id(f"{name}/object"),
                    role,
                    secret=f"{secrets.token_urlsafe(30)}~sandbox",
                    subject="system:serviceaccount:default:aks-gpu" if name == "default" else None,
                )
            )
        self.principals.append(
            Principal(
                "user",
                stable_id("user/client"),
                stable_id("user/object"),
                "least-privilege",
                user="operator@aks-gpu.example",
                password=secrets.token_urlsafe(20),
            )
        )
        for name in ("system-identity", "user-identity"):
            self.principals.append(
                Principal(
                    name,
                    stable_id(f"{name}/client"),
                    stable_id(f"{name}/object"),
                    "least-privilege",
                    resource_id="/subscriptions/{subscription}/resourceGroups/{group}/providers/"
                    f"Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
                )
            )

    def for_kubernetes(self, certificate_authority: str) -> EntraId:
        """What API servers need to accept the tokens: all principals but the stranger may do everything there.

        Args:
            certificate_authority: of the server that this identity is served by, PEM.
        """
        administrators = [each.user or each.object_id for each in self.principals if each.name != "stranger"]
        return EntraId(self.issuer(self.world_url), certificate_authority, tuple(administrators))

    def named(self, name: str) -> Principal:
        """The principal of that name."""
        return next(each for each in self.principals if each.name == name)

    def make_certificate(self, principal: Principal) -> Certificate:
        """Give the principal a certificate it can sign in with."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"aks-sandbox {principal.name}")])
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .sign(key, hashes.SHA256())
        )
        principal.public_key = key.public_key()
        principal.certificate_sha1 = certificate.fingerprint(hashes.SHA1())
        principal.certificate_sha256 = certificate.fingerprint(hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pem = private.decode() + certificate.public_bytes(serialization.Encoding.PEM).decode()
        return Certificate(pem, principal.certificate_sha1.hex().upper())

    def federated_token(self, principal: Principal, base_url: str) -> str:
        """The token that a workload's service account would have, for the principal's `subject`."""
        return self._sign(
            {
                "iss": f"{base_url}/federation",
                "sub": principal.subject,
                "aud": ["api://AzureADTokenExchange"],
                "iat": int(time.time()),
                "exp": int(time.time()) + 24 * 3600,
            }
        )

    # tokens

    def token(self, principal: Principal, audience: str, base_url: str) -> Json:
        """A fresh access token and its claims, as `{"token", "claims"}`."""
        now = int(time.time())
        claims = {
            "aud": audience,
            "iss": self.issuer(base_url),
            "iat": now,
            "nbf": now,
            "exp": now + int(self.world.settings.token_lifetime_seconds),
            "appid": principal.client_id,
            "oid": principal.object_id,
            "sub": principal.object_id,
            "tid": self.tenant,
            "jti": str(uuid.uuid4()),
            "ver": "1.0",
        }
        if principal.user:
            claims["upn"] = principal.user
        return {"token": self._sign(claims), "claims": claims}

    def authenticate(
        self, authorization: str | None, base_url: str, audiences: tuple[str, ...] | None = None
    ) -> Principal:
        """Who sends this Authorization header.

        Args:
            audiences: for whom the token may be; by default Resource Manager.

        Raises:
            GatewayError: 401; no token, none of ours, for another audience, or expired.
        """
        kind, _unused, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise self._unauthorized(
                "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.", base_url
            )
        found = self._known.get(token)
        if found is None:
            try:
                claims = self._verified(token)
                principal = next(each for each in self.principals if each.object_id == claims.get("oid"))
            except (ValueError, StopIteration) as error:
                raise self._unauthorized(
                    "InvalidAuthenticationToken", "The access token is invalid.", base_url
                ) from error
            found = self._known[token] = (principal, claims)
        principal, claims = found
        audience = str(claims["aud"]).rstrip("/")
        if audience not in (audiences or (*AUDIENCES, base_url)):
            raise self._unauthorized(
                "InvalidAuthenticationTokenAudience",
                f"The access token has been obtained for wrong audience or resource '{audience}'. It should exactly "
                "match "
                f"with one of the allowed audiences '{AUDIENCES[1]}/','{AUDIENCES[0]}/'.",
                base_url,
            )
        if time.time() >= claims["exp"]:
            raise self.expired(base_url)
        return principal

    def expired(self, base_url: str) -> GatewayError:
        """401 as for a token whose time has run out."""
        return self._unauthorized(
            "ExpiredAuthenticationToken",
            f"The access token expiry UTC time '{time.strftime('%m/%d/%Y %I:%M:%S %p', time.gmtime())}' is earlier "
            "than "
            "current UTC time.",
            base_url,
        )

    def _unauthorized(self, code: str, message: str, base_url: str) -> GatewayError:
        challenge = (
            f'Bearer authorization_uri="{base_url}/{self.tenant}", error="invalid_token", error_description="{message}"'
        )
        return GatewayError(401, code, message, headers={"WWW-Authenticate": challenge})

    def issuer(self, base_url: str) -> str:
        """`iss` of access tokens."""
        return f"{base_url}/{self.tenant}/"

    def _sign(self, claims: Json) -> str:
        header = json.dumps({"typ": "JWT", "alg": "RS256", "kid": _KEY_ID})
        head = _encoded(header.encode()) + "." + _encoded(json.dumps(claims).encode())
        return head + "." + _encoded(self._key.sign(head.encode(), padding.PKCS1v15(), hashes.SHA256()))

    def _verified(self, token: str) -> Json:
        head, _unused, signature = token.rpartition(".")
        try:
            self._key.public_key().verify(_decoded(signature), head.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature as error:
            raise ValueError("not signed by this sandbox") from error
        claims = json.loads(_decoded(head.partition(".")[2]))
        if not isinstance(claims, dict):
            raise ValueError("claims are no object")
        return claims

    # the token service

    def _check_tenant(self, tenant: str) -> None:
        if tenant.lower() not in (self.tenant, "common", "organizations", "adfs"):
            raise SignInError(
                400,
                "invalid_request",
                90002,
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing "
                "into the "
                "correct cloud. Check with your subscription administrator, this may happen if there are no active "
                "subscriptions for the tenant.",
            )

    async def keys(self, call: Call) -> Reply:
        """GET /{tenant}/discovery/v2.0/keys: what tokens are signed with (RFC 7517)."""
        self._check_tenant(call.names["tenant"])
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": _KEY_ID,
            "n": _encoded(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
            "e": _encoded(numbers.e.to_bytes(3, "big")),
        }
        return Reply(200, {"keys": [key]})

    async def configuration(self, call: Call) -> Reply:
        """GET /{tenant}/v2.0/.well-known/openid-configuration, and the same of the first version, without v2.0"""
        tenant = call.names["tenant"]
        self._check_tenant(tenant)
        root = f"{call.base_url}/{tenant}"
        first = "/v2.0/" not in call.path
        return Reply(
            200,
            {
                "token_endpoint": f"{root}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "jwks_uri": f"{root}/discovery/v2.0/keys",
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": self.issuer(call.base_url) if first else f"{call.base_url}/{tenant}/v2.0",
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
                "end_session_endpoint": f"{root}/oauth2/v2.0/logout",
                "tenant_region_scope": "NA",
                "cloud_instance_name": "localhost",
            },
        )

    async def discovery(self, call: Call) -> Reply:
        """GET /common/discovery/instance"""
        return Reply(
            200,
            {
                "tenant_discovery_endpoint": f"{call.base_url}/{self.tenant}/v2.0/.well-known/openid-configuration",
                "api-version": "1.1",
                "metadata": [],
            },
        )

    async def realm(self, call: Call) -> Reply:
        """GET /common/userrealm/{user}"""
        domain = call.names["user"].partition("@")[2]
        return Reply(200, {"ver": "1.0", "account_type": "Managed", "domain_name": domain})

    async def issue(self, call: Call) -> Reply:
        """POST /{tenant}/oauth2/v2.0/token"""
        self._check_tenant(call.names["tenant"])
        form = call.form()
        grant = form.get("grant_type", "")
        scopes = form.get("scope", "").split()
        resource = next((scope[: -len("/.default")] for scope in scopes if scope.endswith("/.default")), "")
        if grant == "client_credentials":
            principal = self._application(form, call.base_url)
        elif grant == "password":
            principal = self._user(form)
        elif grant == "refresh_token":
            principal = self._refreshed(form)
        else:
            raise SignInError(
                400, "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant}'."
            )
        if not resource:
            raise SignInError(
                400,
                "invalid_scope",
                1002012,
                "The provided value for scope is not valid. Client credential flows must "
                "have a scope value with /.default suffixed to the resource identifier (application ID URI).",
            )
        fresh = self.token(principal, resource, call.base_url)
        lifetime = int(self.world.settings.token_lifetime_seconds)
        answer: Json = {
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": fresh["token"],
        }
        if principal.user:
            answer["scope"] = form["scope"]
            answer["refresh_token"] = self._sign({"oid": principal.object_id, "use": "refresh"})
            answer["id_token"] = self._sign(
                {
                    **fresh["claims"],
                    "aud": form.get("client_id", ""),
                    "iss": f"{call.base_url}/{self.tenant}/v2.0",
                    "preferred_username": principal.user,
                    "name": principal.user,
                }
            )
            answer["client_info"] = _encoded(json.dumps({"uid": principal.object_id, "utid": self.tenant}).encode())
        return Reply(200, answer, {"cache-control": "no-store, no-cache"})

    def _application(self, form: dict[str, str], base_url: str) -> Principal:
        client_id = form.get("client_id", "")
        principal = next(
            (each for each in self.principals if each.client_id == client_id.lower() and not each.user), None
        )
        if principal is None:
            raise SignInError(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client_id}' was not found in the directory 'aks-sandbox'. This can "
                "happen "
                "if the application has not been installed by the administrator of the tenant or consented to by any "
                "user "
                "in the tenant. You may have sent your authentication request to the wrong tenant.",
            )
        if "client_assertion" in form:
            self._check_assertion(principal, form["client_assertion"], base_url)
            return principal
        if "client_secret" not in form:
            raise SignInError(
                401,
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            )
        if principal.secret is None or not hmac.compare_digest(
            principal.secret.encode(), form["client_secret"].encode()
        ):
            raise SignInError(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                "value, "
                f"not the client secret ID, for a secret added to app '{client_id}'.",
            )
        return principal

    def _check_assertion(self, principal: Principal, assertion: str, base_url: str) -> None:
        try:
            head, body, signature = assertion.split(".")
            header, claims = json.loads(_decoded(head)), json.loads(_decoded(body))
        except ValueError as error:
            raise SignInError(401, "invalid_client", 50027, "JWT token is invalid or malformed.") from error
        if claims.get("exp", 0) < time.time():
            raise SignInError(401, "invalid_client", 700024, "Client assertion is not within its valid time range.")
        if claims.get("iss") != principal.client_id:
            self._check_federated(principal, assertion, claims)
            return
        thumbprints = {
            header.get("x5t"): principal.certificate_sha1,
            header.get("x5t#S256"): principal.certificate_sha256,
        }
        known = any(
            sent is not None and mine is not None and _decoded(sent) == mine for sent, mine in thumbprints.items()
        )
        if not known or principal.public_key is None:
            raise SignInError(
                401,
                "invalid_client",
                700027,
                "The certificate with identifier used to sign the client assertion is not registered on application. "
                "[Reason - The key was not found.]",
            )
        scheme: padding.AsymmetricPadding = padding.PKCS1v15()
        if header.get("alg") == "PS256":
            scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.AUTO)
        try:
            principal.public_key.verify(_decoded(signature), f"{head}.{body}".encode(), scheme, hashes.SHA256())
        except InvalidSignature as error:
            raise SignInError(401, "invalid_client", 700027, "Client assertion failed signature validation.") from error

    def _check_federated(self, principal: Principal, assertion: str, claims: Json) -> None:
        try:
            self._verified(assertion)
        except ValueError as error:
            raise SignInError(
                401,
                "invalid_client",
                700211,
                f"No matching federated identity record found for presented assertion issuer '{claims.get('iss')}'. "
                "Check "
                "your federated identity credential Subject, Audience and Issuer against the presented assertion.",
            ) from error
        if principal.subject is None or claims.get("sub") != principal.subject:
            raise SignInError(
                401,
                "invalid_client",
                700213,
                f"No matching federated identity record found for presented assertion subject '{claims.get('sub')}'. "
                "Check "
                "your federated identity credential Subject, Audience and Issuer against the presented assertion.",
            )

    def _user(self, form: dict[str, str]) -> Principal:
        name = form.get("username", "")
        principal = next((each for each in self.principals if each.user and each.user == name.lower()), None)
        if principal is None:
            raise SignInError(
                400,
                "invalid_grant",
                50034,
                f"The user account {name} does not exist in the {self.tenant} directory. To sign into this "
                "application, "
                "the account must be added to the directory.",
            )
        assert principal.password is not None
        if not hmac.compare_digest(principal.password.encode(), form.get("password", "").encode()):
            raise SignInError(
                400, "invalid_grant", 50126, "Error validating credentials due to invalid username or password."
            )
        return principal

    def _refreshed(self, form: dict[str, str]) -> Principal:
        try:
            claims = self._verified(form.get("refresh_token", ""))
            return next(each for each in self.principals if each.object_id == claims.get("oid"))
        except (ValueError, StopIteration) as error:
            raise SignInError(
                400, "invalid_grant", 9002313, "Invalid request. Request is malformed or invalid."
            ) from error

    # managed identity

    async def instance_metadata(self, call: Call) -> Reply:
        """GET /metadata/identity/oauth2/token of a virtual machine, and /msi/token of App Service."""
        app_service = call.path.startswith("/msi/")
        if app_service and call.headers.get("x-identity-header") != self.identity_header:
            return Reply(401, {"error": "unauthorized", "error_description": "X-IDENTITY-HEADER is missing or wrong"})
        if not app_service and call.headers.get("metadata", "").lower() != "true":
            return Reply(
                400, {"error": "invalid_request", "error_description": "Required metadata header not specified"}
            )
        resource = call.query.get("resource")
        if not resource:
            return Reply(
                400, {"error": "invalid_request", "error_description": "Required query variable 'resource' is missing"}
            )
        principal = self._managed(call.query)
        if principal is None:
            return Reply(400, {"error": "invalid_request", "error_description": "Identity not found"})
        fresh = self.token(principal, resource.rstrip("/"), self.world_url)
        claims = fresh["claims"]
        return Reply(
            200,
            {
                "access_token": fresh["token"],
                "client_id": principal.client_id,
                "expires_in": str(claims["exp"] - claims["iat"]),
                "expires_on": str(claims["exp"]),
                "ext_expires_in": str(claims["exp"] - claims["iat"]),
                "not_before": str(claims["nbf"]),
                "resource": resource,
                "token_type": "Bearer",
            },
        )

    def _managed(self, query: dict[str, str]) -> Principal | None:
        if client_id := query.get("client_id"):
            wanted = [each for each in self.principals if each.resource_id and each.client_id == client_id.lower()]
        elif object_id := query.get("object_id") or query.get("principal_id"):
            wanted = [each for each in self.principals if each.resource_id and each.object_id == object_id.lower()]
        elif resource := query.get("msi_res_id") or query.get("mi_res_id"):
            name = resource.rpartition("/")[2].lower()
            wanted = [each for each in self.principals if each.resource_id and each.name == name]
        else:
            return self.named("system-identity")
        return wanted[0] if wanted else None
