"""The scenario, with the client by openapi-python-client."""

import os
import ssl
from typing import Any, TypeVar

from signet import AuthenticatedClient
from signet.api.account import get_me, login_account, logout_account, register_account
from signet.api.devices import list_sessions
from signet.api.permissions import create_permission
from signet.api.rights import check_permissions, verify_request
from signet.api.session import get_session, get_session_data, set_session_data
from signet.api.users import get_user, update_user
from signet.models import (
    Credentials, DataValue, DeviceList, LoggedIn, NewAccount, NewPermission, NewValue, Permission, PermissionAnswer,
    PermissionQuestion, Problem, ProblemCode, Session, User, UserPatch,
)
from signet.types import Response

T = TypeVar("T")


def caller() -> AuthenticatedClient:
    """A caller with a jar of its own. The cookie is the proof; the header that the client insists on says another thing."""
    trust = ssl.create_default_context(cafile=os.environ["AUTHORITY"])
    return AuthenticatedClient(
        os.environ["BASE"], "*/*", prefix="", auth_header_name="Accept", verify_ssl=trust, raise_on_unexpected_status=True
    )


def got(kind: type[T], answer: object) -> T:
    """The answer, which has to be of this kind."""
    assert isinstance(answer, kind), answer
    return answer


def problem(response: Response[Any]) -> Problem:
    """The problem that an operation was refused with."""
    refusal = got(Problem, response.parsed)
    assert refusal.status == response.status_code, response
    return refusal


admin, user = caller(), caller()
got(LoggedIn, login_account.sync(client=admin, body=Credentials("admin", os.environ["PASSWORD"])))

password = "seven wooden boats"
registered = got(LoggedIn, register_account.sync(client=user, body=NewAccount("bob", password))).user
bob = got(LoggedIn, login_account.sync(client=user, body=Credentials("bob", password))).user
assert (bob.id, bob.username, bob.is_staff) == (registered.id, "bob", False), bob

cart: list[Any] = [7, {"size": "L"}, None]
written = got(DataValue, set_session_data.sync("cart", client=user, body=NewValue(cart)))
assert (written.value, written.found) == (cart, True), written
assert got(DataValue, get_session_data.sync("cart", client=user)).value == cart
missing = got(DataValue, get_session_data.sync("theme", client=user, default="light"))
assert (missing.value, missing.found) == ("light", False), missing
state = got(Session, get_session.sync(client=user))
assert state.data["cart"] == cart, state
assert state.issued_at and state.expires_at and state.ends_at, state
assert state.issued_at < state.expires_at < state.ends_at, state

question = PermissionQuestion(permissions=["polls.vote"])
refused = problem(get_user.sync_detailed(bob.id, client=user))
assert (refused.code, refused.status) == (ProblemCode.FORBIDDEN, 403), refused
refused = problem(verify_request.sync_detailed(client=user, permission="polls.vote"))
assert refused.code is ProblemCode.FORBIDDEN, refused
assert got(PermissionAnswer, check_permissions.sync(client=user, body=question)).all_ is False

got(Permission, create_permission.sync(client=admin, body=NewPermission("polls.vote")))
granted = got(User, update_user.sync(bob.id, client=admin, body=UserPatch(user_permissions=["polls.vote"])))
assert granted.user_permissions == ["polls.vote"], granted

answer = got(PermissionAnswer, check_permissions.sync(client=user, body=question))
assert answer.all_ is True and answer.results["polls.vote"] is True, answer
assert verify_request.sync_detailed(client=user, permission="polls.vote").status_code == 204

devices = got(DeviceList, list_sessions.sync(client=user)).items
(device,) = [device for device in devices if device.current]
assert device.id == state.id and device.created_at < device.ends_at, devices

assert logout_account.sync_detailed(client=user).status_code == 204
refused = problem(get_me.sync_detailed(client=user))
assert (refused.code, refused.status) == (ProblemCode.NOT_AUTHENTICATED, 401), refused
assert refused.request_id, refused
print("done")
