UPDATE store.runs SET notes = json_merge_patch(notes, $facts::JSON) WHERE run_id = $run_id;
