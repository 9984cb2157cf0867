"""Dashboards, alerts and their proof, as code: what Grafana and Prometheus are given is made from here."""
