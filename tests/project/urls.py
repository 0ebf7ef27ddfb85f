from django.contrib import admin
from django.urls import path

from tests.project.views import order, order_without_a_transaction

urlpatterns = [
    path("admin/", admin.site.urls),
    path("order/", order),
    path("order-without-a-transaction/", order_without_a_transaction),
]
