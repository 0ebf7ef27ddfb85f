"""The ledger of effects: what a job did stands here, once for every time it did it."""

from django.db import models


class Effect(models.Model):
    job_id = models.UUIDField(db_index=True)
    worker = models.TextField(default="")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.job_id} by {self.worker}"
