"""From a data source to clean, split cells: read -> curate -> split. Knows neither the trainer nor the judge."""
