from django.db import models


class Poll(models.Model):
    class Meta:
        permissions = [("vote", "Can vote"), ("close_poll", "Can close a poll"), ("1", "x"), ("a" * 100, "y" * 255)]


class Choice(models.Model):
    class Meta:
        default_permissions = ()
