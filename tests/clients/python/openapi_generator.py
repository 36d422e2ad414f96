"""The scenario, with the client by openapi-generator."""

import os
import re
from collections.abc import Callable
from typing import Any

from signet_client import (
    AccountApi, ApiClient, Configuration, Credentials, DevicesApi, NewAccount, NewPermission, NewValue,
    PermissionQuestion, PermissionsApi, Problem, ProblemCode, RightsApi, SessionApi, UserPatch, UsersApi,
)
from signet_client.exceptions import ApiException, ForbiddenException, UnauthorizedException
from signet_client.rest import RESTResponse


class Signet(ApiClient):
    """A caller with a jar of its own."""

    def __init__(self) -> None:
        super().__init__(Configuration(os.environ["BASE"], ssl_ca_cert=os.environ["AUTHORITY"], api_key={}))

    def call_api(self, *args: Any, **kwargs: Any) -> RESTResponse:
        answer: RESTResponse = super().call_api(*args, **kwargs)
        for cookie in re.findall(r"__Host-signet=([^;]*)", answer.headers.get("set-cookie", "")):
            self.configuration.api_key["sessionCookie"] = cookie
        return answer


def problem(kind: type[ApiException], call: Callable[[], object]) -> Problem:
    """The problem that an operation is refused with."""
    try:
        call()
    except kind as refusal:
        assert isinstance(refusal.data, Problem), refusal
        assert refusal.data.status == refusal.status, refusal
        return refusal.data
    raise AssertionError("not refused")


admin, user = Signet(), Signet()
AccountApi(admin).login_account(Credentials(username="admin", password=os.environ["PASSWORD"]))

password = "seven wooden boats"
registered = AccountApi(user).register_account(NewAccount(username="bob", password=password)).user
bob = AccountApi(user).login_account(Credentials(username="bob", password=password)).user
assert (bob.id, bob.username, bob.is_staff) == (registered.id, "bob", False), bob

cart: list[Any] = [7, {"size": "L"}, None]
session = SessionApi(user)
written = session.set_session_data("cart", NewValue(value=cart))
assert (written.value, written.found) == (cart, True), written
assert session.get_session_data("cart").value == cart
missing = session.get_session_data("theme", default="light")
assert (missing.value, missing.found) == ("light", False), missing
state = session.get_session()
assert state.data["cart"] == cart, state
assert state.issued_at and state.expires_at and state.ends_at, state
assert state.issued_at < state.expires_at < state.ends_at, state

rights, question = RightsApi(user), PermissionQuestion(permissions=["polls.vote"])
refused = problem(ForbiddenException, lambda: UsersApi(user).get_user(bob.id))
assert (refused.code, refused.status) == (ProblemCode.FORBIDDEN, 403), refused
refused = problem(ForbiddenException, lambda: rights.verify_request(permission="polls.vote"))
assert refused.code is ProblemCode.FORBIDDEN, refused
assert rights.check_permissions(question).all is False

PermissionsApi(admin).create_permission(NewPermission(name="polls.vote"))
granted = UsersApi(admin).update_user(bob.id, UserPatch(user_permissions=["polls.vote"]))
assert granted.user_permissions == ["polls.vote"], granted

answer = rights.check_permissions(question)
assert answer.all is True and answer.results == {"polls.vote": True}, answer
rights.verify_request(permission="polls.vote")

devices = DevicesApi(user).list_sessions().items
(device,) = [device for device in devices if device.current]
assert device.id == state.id and device.created_at < device.ends_at, devices

AccountApi(user).logout_account()
refused = problem(UnauthorizedException, AccountApi(user).get_me)
assert (refused.code, refused.status) == (ProblemCode.NOT_AUTHENTICATED, 401), refused
assert refused.request_id, refused
print("done")
