"""Access tokens are judged by the issuer's published keys, with pinned algorithms."""

import json
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from shared.oidc import Issuer, TokenRefused
from shared.problems import Unavailable

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NEXT_KEY = ec.generate_private_key(ec.SECP256R1())


def jwk(key_id: str, key: Any) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    name = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    published: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return published | {"kid": key_id, "use": "sig", "alg": name}


class Publisher:
    """What the issuer serves, and how often it was asked."""

    def __init__(self) -> None:
        self.keys = [jwk("first", RSA_KEY)]
        self.asked = 0
        self.up = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return httpx.Response(200, json={"keys": self.keys}) if self.up else httpx.Response(502)


def issuer(publisher: Publisher, clock: list[float]) -> Issuer:
    return Issuer(
        issuer="https://id.test",
        jwks_url="https://id.test/keys",
        audience="regulars",
        algorithms=["RS256", "ES256"],
        cache_seconds=300,
        client=httpx.AsyncClient(transport=httpx.MockTransport(publisher)),
        clock=lambda: clock[0],
    )


def token(key: Any = RSA_KEY, kid: str = "first", algorithm: str = "RS256", **changes: Any) -> str:
    claims = {
        "iss": "https://id.test",
        "aud": "regulars",
        "sub": "ann",
        "exp": int(time.time()) + 60,
        "scope": "points:read openid",
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})


async def test_a_good_token() -> None:
    checker = issuer(Publisher(), [0.0])
    verified = await checker.verify(token())
    assert (verified.subject, verified.scopes) == ("ann", ("points:read", "openid"))
    assert 50 < verified.seconds_left <= 60
    assert (await checker.verify(token(scope=None, scp=["points:write"]))).scopes == ("points:write",)
    await checker.close()


@pytest.mark.parametrize(
    "bad",
    [
        token(aud="someone-else"),
        token(iss="https://evil.test"),
        token(exp=int(time.time()) - 120),
        token(exp=None),
        token(sub=None),
        token(kid="unknown"),
        token(key=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        token(key="a secret of at least thirty-two bytes", algorithm="HS256"),
        token(key=None, algorithm="none"),
        "a.b.c",
        "..",
    ],
)
async def test_bad_tokens(bad: str) -> None:
    checker = issuer(Publisher(), [0.0])
    with pytest.raises(TokenRefused):
        await checker.verify(bad)
    await checker.close()


async def test_a_new_key_is_found_and_made_up_ones_do_not_flood_the_issuer() -> None:
    publisher, clock = Publisher(), [0.0]
    checker = issuer(publisher, clock)
    await checker.verify(token())
    publisher.keys = [jwk("next", NEXT_KEY)]
    for _ in range(5):
        with pytest.raises(TokenRefused):
            await checker.verify(token(key=NEXT_KEY, kid="next", algorithm="ES256"))
    assert publisher.asked == 1
    clock[0] = 10.0
    assert (await checker.verify(token(key=NEXT_KEY, kid="next", algorithm="ES256"))).subject == "ann"
    assert publisher.asked == 2
    # The withdrawn key is gone with the same look.
    with pytest.raises(TokenRefused):
        await checker.verify(token())
    await checker.close()


async def test_an_issuer_that_is_away() -> None:
    publisher, clock = Publisher(), [0.0]
    publisher.up = False
    checker = issuer(publisher, clock)
    with pytest.raises(Unavailable):
        await checker.verify(token())
    publisher.up = True
    await checker.verify(token())
    publisher.up = False
    clock[0] = 1_000.0
    assert (await checker.verify(token())).subject == "ann"
    await checker.close()
