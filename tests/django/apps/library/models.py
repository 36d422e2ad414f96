from django.db import models


class Author(models.Model):
    class Meta:
        # The name of this permission is the same as that of the book's: to has_perm they are one.
        permissions = [("export", "Can export authors")]


class Book(models.Model):
    class Meta:
        permissions = [("export", "Can export books"), ("lend_book", "Can lend a book"), ("Lend_Book", "Other case")]


class Loan(models.Model):
    class Meta:
        default_permissions = ("view", "extend")
