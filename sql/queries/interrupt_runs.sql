UPDATE store.runs SET state = 'interrupted', finished_at = now() WHERE state = 'running';
