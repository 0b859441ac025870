SELECT basis FROM store.bases WHERE model_key = $model_key;
