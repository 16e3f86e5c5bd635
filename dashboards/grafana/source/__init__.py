"""The dashboards in short form; generate.py writes them out as Grafana reads them."""
