"""A user model as many projects have one: another key, and fields of its own."""

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    nickname = models.CharField(max_length=40, blank=True)
    born = models.DateField(null=True)
    manager = models.ForeignKey("self", null=True, on_delete=models.SET_NULL)
