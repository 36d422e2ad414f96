from django.db import models


class Shelf(models.Model):
    pass
