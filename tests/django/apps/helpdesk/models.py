from django.db import models


class Ticket(models.Model):
    class Meta:
        permissions = [
            (f"move_ticket_to_queue_of_department_number_{number}", f"Can move a ticket to queue {number}")
            for number in range(70)
        ]


class UrgentTicket(Ticket):
    class Meta:
        proxy = True


class Note(models.Model):
    pass
