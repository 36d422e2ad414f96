from django.db import models


class Invoice(models.Model):
    class Meta:
        permissions = [("export", "Can export invoices"), ("sign-off", "Ja, darf “freigeben” 💶")]


class Payment(models.Model):
    pass
